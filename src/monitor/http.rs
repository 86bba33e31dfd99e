//! The metrics endpoint: an HTTP/1.1 server for scrapers, with one connection at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Time after which the connection of a silent scraper is closed.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest request that is read, in bytes.
const MAX_REQUEST: u64 = 16 << 10;

/// Parses an address such as `127.0.0.1:9090` or `[::1]:9090`. A port alone means the loopback interface.
///
/// # Errors
/// The text is neither an address with a port nor a port.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse()
        .map_err(|_| format!("'{text}' is not an address; give ADDRESS:PORT, or PORT for the loopback interface"))
}

/// Answers `GET /metrics` with the text that `page` returns, on a thread of its own until the process ends. Returns the
/// address of the server, with the port that the system chose for port 0.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub fn serve(address: SocketAddr, page: impl Fn() -> String + Send + 'static) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        for connection in listener.incoming() {
            // A scraper that closed the connection sends a new request.
            if let Err(e) = connection.and_then(|stream| answer(stream, &page)) {
                tracing::debug!("metrics: {e}");
            }
        }
    })?;
    Ok(bound)
}

/// Reads one request and answers it.
fn answer(stream: TcpStream, page: &impl Fn() -> String) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut lines = BufReader::new((&stream).take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // The headers do not matter.
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
        ("GET" | "HEAD", _) => ("404 Not Found", "the only page is /metrics\n".to_owned()),
        ("", _) => ("400 Bad Request", "the request is empty\n".to_owned()),
        _ => ("405 Method Not Allowed", "the only methods are GET and HEAD\n".to_owned()),
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

    fn request(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_scraper_gets_the_page_and_other_requests_an_error() {
        let address = serve(parse_address("0").unwrap(), || "promptseg_results_total 3\n".into()).unwrap();
        assert!(address.ip().is_loopback());
        let page = request(address, "GET /metrics HTTP/1.1\r\nHost: robot\r\nAccept: */*\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("Content-Length: 26\r\n"), "{page}");
        assert!(page.ends_with("\r\n\r\npromptseg_results_total 3\n"), "{page}");
        assert!(request(address, "GET /metrics?x=1 HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
        assert!(request(address, "HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(request(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
        assert!(request(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
        assert!(request(address, "\r\n\r\n").starts_with("HTTP/1.1 400"));
        assert!(serve(address, String::new).is_err(), "the address is in use");
    }

    #[test]
    fn a_port_alone_is_on_the_loopback_interface() {
        assert_eq!(parse_address("9090"), Ok("127.0.0.1:9090".parse().unwrap()));
        assert_eq!(parse_address(":9090"), Ok("127.0.0.1:9090".parse().unwrap()));
        assert_eq!(parse_address("0.0.0.0:9090"), Ok("0.0.0.0:9090".parse().unwrap()));
        assert_eq!(parse_address("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for wrong in ["", "localhost", "1.2.3.4", "70000", "1.2.3.4:x"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
