// A proxy in front of the server, as some companies have it: pages and requests pass, an upgrade
// to a WebSocket is refused, or never answered.

import http from 'node:http';

// `upgrade`: 'refused' or 'ignored'.
export async function startProxy(target, upgrade = 'refused') {
  const { hostname, port } = new URL(target);
  const server = http.createServer((request, response) => {
    const { host, ...headers } = request.headers;
    const onward = http.request({ hostname, port, path: request.url, method: request.method, headers: { ...headers, host } }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  const upgrades = [];
  server.on('upgrade', (request, socket) => {
    upgrades.push(request.url);
    socket.on('error', () => {});
    if (upgrade === 'refused') socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    upgrades,
    // As when a network goes away: every connection is cut, streams too.
    cut: () => server.closeAllConnections(),
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
