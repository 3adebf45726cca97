//! Reads the server's `/metrics` (Prometheus text) over plain HTTP/1.1.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The figures of the server at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Each line's name with its labels, and its value.
    lines: Vec<(String, f64)>,
}

/// `GET /metrics` did not yield metrics.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `http://host:port`.
    #[error("{0} is not an http:// address")]
    Url(String),
    /// No connection, or it broke.
    #[error("reading /metrics: {0}")]
    Io(#[from] std::io::Error),
    /// Another status than 200.
    #[error("/metrics was answered by {0:?}")]
    Status(String),
}

/// Reads the metrics of the server at `url` (`http://host:port`).
pub async fn read(url: &str) -> Result<Metrics, Error> {
    let address = url
        .strip_prefix("http://")
        .ok_or_else(|| Error::Url(url.into()))?
        .trim_end_matches('/');
    let with_port = if address
        .rsplit(']')
        .next()
        .is_some_and(|end| end.contains(':'))
    {
        address.to_owned()
    } else {
        format!("{address}:80")
    };
    let mut stream = TcpStream::connect(with_port).await?;
    // HTTP/1.0: the body is neither chunked nor kept open, so it ends with the connection.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.lines().next().unwrap_or_default();
    match (status.split(' ').nth(1), answer.split_once("\r\n\r\n")) {
        (Some("200"), Some((_, body))) => Ok(Metrics::parse(body)),
        _ => Err(Error::Status(status.into())),
    }
}

impl Metrics {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            lines: lines
                .filter_map(|line| {
                    // Label values of Quilt are words: no blank inside.
                    let mut words = line.split(' ');
                    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
                })
                .collect(),
        }
    }

    /// The value of a metric without labels, 0 if there is none.
    pub fn value(&self, name: &str) -> f64 {
        let line = self.lines.iter().find(|(line, _)| line == name);
        line.map_or(0.0, |line| line.1)
    }

    /// The sum over all labels of a metric.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |line: &&(String, f64)| line.0.split('{').next() == Some(name);
        self.lines.iter().filter(of_name).map(|line| line.1).sum()
    }

    /// The given quantile (0 to 1) of what a histogram took in since `before`: the upper edge of
    /// the bucket it lies in, so the truth is not above. `None`: nothing was taken in.
    pub fn quantile_since(&self, before: &Metrics, name: &str, quantile: f64) -> Option<f64> {
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .lines
            .iter()
            .filter_map(|(line, count)| {
                let edge = line.strip_prefix(&prefix)?.split('"').next()?;
                let edge = edge.replace("+Inf", "inf").parse().ok()?;
                Some((edge, count - before.value(line)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last()?.1;
        let reached = |bucket: &&(f64, f64)| bucket.1 >= total * quantile;
        buckets
            .iter()
            .find(reached)
            .filter(|_| total > 0.0)
            .map(|b| b.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Stats;

    #[test]
    fn the_servers_own_text_is_read() {
        let stats = Stats::default();
        stats.mix_ticks.inc_by(7);
        stats.dropped("a", 2);
        stats.dropped("b", 3);
        let before = Metrics::parse(&stats.render());
        assert_eq!(before.value("quilt_mix_ticks_total"), 7.0);
        assert_eq!(before.sum("quilt_dropped_total"), 5.0);
        assert!(before.value("process_resident_memory_bytes") > 1e6);
        assert_eq!(before.value("nothing"), 0.0);

        let latency = "quilt_video_latency_seconds";
        assert_eq!(before.quantile_since(&before, latency, 0.95), None);
        stats.video_latency.observe(0.5);
        let between = Metrics::parse(&stats.render());
        for _ in 0..95 {
            stats.video_latency.observe(0.033);
        }
        for _ in 0..5 {
            stats.video_latency.observe(0.077);
        }
        let after = Metrics::parse(&stats.render());
        let quantile = |q| after.quantile_since(&between, latency, q).unwrap();
        assert!((quantile(0.95) - 0.035).abs() < 1e-9, "{}", quantile(0.95));
        assert!((quantile(0.96) - 0.08).abs() < 1e-9, "{}", quantile(0.96));
    }

    #[tokio::test]
    async fn they_come_over_http() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for body in [
                "HTTP/1.1 200 OK\r\n\r\nquilt_rooms 1\n",
                "HTTP/1.1 404 No\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 256];
                let length = stream.read(&mut request).await.unwrap();
                assert!(request[..length].starts_with(b"GET /metrics "));
                stream.write_all(body.as_bytes()).await.unwrap();
            }
        });
        assert_eq!(read(&url).await.unwrap().value("quilt_rooms"), 1.0);
        assert!(matches!(read(&url).await, Err(Error::Status(_))));
        assert!(matches!(read("quilt").await, Err(Error::Url(_))));
    }
}
