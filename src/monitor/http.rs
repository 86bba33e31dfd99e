//! The metrics endpoint: HTTP/1.1 for scrapers, one at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A scraper that says nothing is let go after that time.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest request that is read.
const MAX_REQUEST: u64 = 16 << 10;

/// `127.0.0.1:9090`, `[::1]:9090`, or a port alone for the loopback.
///
/// # Errors
/// It is neither.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| format!("'{text}' is no address: give ADDRESS:PORT, or PORT for this machine alone"))
}

/// Answers `GET /metrics` with what `page` says, on a thread of its own until the process ends. Returns the address, which
/// tells the port where 0 was asked for.
///
/// # Errors
/// The address is taken, or not of this machine.
pub fn serve(address: SocketAddr, page: impl Fn() -> String + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        for connection in listener.incoming() {
            // A scraper that goes away in the middle asks again.
            if let Err(e) = connection.and_then(|stream| answer(stream, &page)) {
                tracing::debug!("metrics: {e}");
            }
        }
    })?;
    Ok(bound)
}

fn answer(stream: TcpStream, page: &impl Fn() -> String) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new((&stream).take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers, which change nothing.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", page()),
        ("GET" | "HEAD", _) => ("404 Not Found", "there is /metrics only\n".to_owned()),
        ("", _) => ("400 Bad Request", "no request\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET only\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let mut stream = &stream;
    stream.write_all(head.as_bytes())?;
    if method != "HEAD" {
        stream.write_all(body.as_bytes())?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scraper_gets_the_page_and_others_a_reason() {
        let address = serve(parse_address("0").unwrap(), || "promptseg_results_total 3\n".into()).unwrap();
        assert!(address.ip().is_loopback());
        let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: */*\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("Content-Length: 26\r\n"), "{page}");
        assert!(page.ends_with("\r\n\r\npromptseg_results_total 3\n"), "{page}");
        assert!(ask(address, "GET /metrics?x=1 HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert!(ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(ask(address, "\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(serve(address, String::new).is_err(), "the address is taken");
    }

    #[test]
    fn a_port_alone_is_of_this_machine() {
        assert_eq!(parse_address("9090"), Ok("127.0.0.1:9090".parse().unwrap()));
        assert_eq!(parse_address(":9090"), Ok("127.0.0.1:9090".parse().unwrap()));
        assert_eq!(parse_address("0.0.0.0:9090"), Ok("0.0.0.0:9090".parse().unwrap()));
        assert_eq!(parse_address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for wrong in ["", "localhost", "1.2.3.4", "70000", "1.2.3.4:x"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
