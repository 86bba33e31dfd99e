//! Who may use the console, and what the page files come with.

use std::sync::Arc;

use promptseg::console::{Settings, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::bench::{SPECTATOR, TOKEN, bench, with_tokens};
use crate::client::{Page, click, cookie, get, header, request};

#[tokio::test]
async fn the_page_is_served_below_any_path() {
    let b = bench(Settings::default());
    let address = b.console.address();
    for path in ["/", "/robots/7/", "/robots/7/index.html"] {
        let page = get(address, path).await;
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("<title>promptseg console"), "{path}: {page}");
        let policy = header(&page, "content-security-policy");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(header(&page, "x-content-type-options"), "nosniff");
    }
    let script = get(address, "/robots/7/main.js").await;
    assert!(header(&script, "content-type").starts_with("text/javascript"), "{script}");
    let known = format!("If-None-Match: {}", header(&script, "etag"));
    let again = request(address, &["GET /main.js HTTP/1.1", &known], "").await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    assert!(get(address, "/robots/7").await.starts_with("HTTP/1.1 404"));
    assert!(request(address, &["POST / HTTP/1.1"], "").await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn nothing_is_shown_without_the_token() {
    let b = bench(with_tokens());
    let address = b.console.address();
    for path in ["/", "/main.js", "/index.html"] {
        let page = get(address, path).await;
        assert!(page.starts_with("HTTP/1.1 401") && page.contains("Token of this console"), "{path}: {page}");
    }
    assert_eq!(Page::connect(address, &[]).await.err(), Some(401));
    let wrong = get(address, "/?token=operator-0123456788").await;
    assert!(wrong.starts_with("HTTP/1.1 401") && header(&wrong, "set-cookie").is_empty(), "{wrong}");

    let form = request(address, &["POST /prefix/login HTTP/1.1"], &format!("token={TOKEN}")).await;
    assert!(form.starts_with("HTTP/1.1 303"), "{form}");
    assert_eq!(header(&form, "location"), "./", "relative, so that a path prefix stays");
    let set = header(&form, "set-cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && !set.contains(TOKEN), "{set}");

    let with_cookie = format!("Cookie: {}", set.split(';').next().unwrap());
    assert!(request(address, &["GET / HTTP/1.1", &with_cookie], "").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_spectator_sees_the_picture_and_cannot_prompt() {
    let b = bench(with_tokens());
    let address = b.console.address();
    b.frame(1).await;
    let mut spectator = Page::open(address, &[("cookie", &cookie(address, SPECTATOR).await)]).await;
    assert_eq!(spectator.hello["operator"], false);
    let picture = spectator.picture().await;
    let answer = spectator.answer(click(&picture, 0, 10, 10)).await;
    assert!(answer["ok"] == false && answer["text"].as_str().unwrap().contains("may only watch"), "{answer}");
    let mut operator = Page::open(address, &[("cookie", &cookie(address, TOKEN).await)]).await;
    assert_eq!(operator.hello["operator"], true);
    let picture = operator.picture().await;
    assert_eq!(operator.answer(click(&picture, 0, 10, 10)).await["ok"], true);
    // The spectator sees the mask.
    assert_eq!(spectator.text("masks").await["objects"][0]["id"], 1);
}

#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    let origins = vec!["https://robot.example".to_owned()];
    let b = bench(Settings { origins, ..Settings::default() });
    let address = b.console.address();
    let own = format!("http://{address}");
    for (origin, expected) in [
        (own.as_str(), None),
        ("https://robot.example", None),
        ("http://evil.example", Some(403)),
        ("https://robot.example.evil.example", Some(403)),
        ("null", Some(403)),
    ] {
        assert_eq!(Page::connect(address, &[("origin", origin)]).await.err(), expected, "{origin}");
    }
    // A name that leads to this machine for a page of another site.
    let rebound = request(address, &["GET / HTTP/1.1", "Host: evil.example:8060"], "").await;
    assert!(rebound.starts_with("HTTP/1.1 403") && !rebound.contains("<script"), "{rebound}");
    let policy = get(address, "/").await;
    assert!(header(&policy, "content-security-policy").contains("frame-ancestors https://robot.example"));
}

#[tokio::test]
async fn the_page_is_served_over_tls() {
    let fixture = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name);
    let certificate = fixture("certificate.pem");
    let tls = TlsFiles { certificate: certificate.clone(), key: fixture("key.pem") };
    let b = bench(Settings { tls: Some(tls), ..with_tokens() });
    assert!(b.console.url().starts_with("https://127.0.0.1:"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(b.console.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let lines = format!("GET /?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut response = String::new();
    // A server may close TCP without closing TLS.
    let _ = stream.read_to_string(&mut response).await;
    assert!(
        response.starts_with("HTTP/1.1 303") && header(&response, "set-cookie").ends_with("; Secure"),
        "{response}"
    );
    // Plain HTTP gets no answer, and costs nothing.
    let mut plain = TcpStream::connect(b.console.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
}
