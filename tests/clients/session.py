"""The HTTP of WHIP and WHEP, as any client of them speaks it."""

import re
import urllib.error
import urllib.parse
import urllib.request


class Session:
    """Made by an offer; has the answer."""

    def __init__(self, endpoint, offer):
        status, headers, self.answer = _ask("POST", endpoint, offer, {"Content-Type": "application/sdp"})
        if status != 201 or headers.get_content_type() != "application/sdp":
            raise RuntimeError(f"{status} {headers} {self.answer}")
        self.url = urllib.parse.urljoin(endpoint, headers["Location"])
        self.tag = headers["ETag"]

    def trickle(self, candidates, ufrag, password):
        """Sends candidates of the first section, as `a=` has them."""
        lines = ["a=ice-ufrag:" + ufrag, "a=ice-pwd:" + password, "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"]
        body = "".join(line + "\r\n" for line in [*lines, *("a=" + one for one in candidates)])
        headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": self.tag}
        status, _, text = _ask("PATCH", self.url, body, headers)
        if status != 204:
            raise RuntimeError(f"{status} {text}")

    def end(self):
        """Says goodbye."""
        status, _, text = _ask("DELETE", self.url, None, {})
        if status != 200:
            raise RuntimeError(f"{status} {text}")


def value(sdp, name):
    """The first value of an attribute."""
    return re.search(rf"^a={name}:(\S+)", sdp, re.MULTILINE).group(1)


def _ask(verb, url, body, headers):
    data = None if body is None else body.encode()
    request = urllib.request.Request(url, data=data, method=verb, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
