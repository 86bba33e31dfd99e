//! The console's server: connections, with or without TLS.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use super::hub::Hub;
use super::owner::Owner;
use super::routes::router;
use super::settings::{Settings, SettingsError, TlsFiles};
use crate::engine::{Engine, Event};

/// Most connections at a time, in addition to those of clients: browsers open several for the files of the page.
const SPARE_CONNECTIONS: usize = 48;
/// Time for a TLS handshake, and for the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait after a failed `accept`: the process has too many open files.
const ACCEPT_WAIT: Duration = Duration::from_millis(100);

/// A running console. Dropping it closes all connections.
pub struct Console {
    hub: Arc<Hub>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Console {
    /// Starts the console on a runtime.
    ///
    /// # Errors
    /// A setting is wrong, a certificate cannot be read, or the address is in use.
    pub fn start(settings: Settings, owner: Arc<dyn Owner>, runtime: &Handle) -> Result<Self, SettingsError> {
        settings.check()?;
        let tls = settings.tls.as_ref().map(acceptor).transpose()?;
        let bind = |source| SettingsError::Bind { address: settings.address, source };
        let listener = StdListener::bind(settings.address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listener).map_err(bind)?
        };
        let connections = Arc::new(Semaphore::new(settings.max_clients + SPARE_CONNECTIONS));
        let hub = Arc::new(Hub::new(settings, address.port(), owner));
        let accepting = runtime.spawn(accept(listener, tls, router(Arc::clone(&hub)), connections));
        Ok(Console { hub, address, accepting })
    }

    /// Returns the address of the page, without a token.
    pub fn url(&self) -> String {
        let scheme = if self.hub.settings.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.address)
    }

    /// Returns the address of the server, with the port that the system chose for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes an event of the engine of a camera. Never blocks.
    pub fn event(&self, camera: usize, event: &Event, engine: &Engine) {
        if let Some(feed) = self.hub.feeds.get(camera) {
            feed.event(event, |stamp| engine.arrival(stamp));
        }
    }

    /// Returns whether somebody views a camera, so that its frames are needed.
    pub fn has_viewers(&self, camera: usize) -> bool {
        self.hub.feeds.get(camera).is_some_and(|feed| feed.viewers() > 0)
    }

    /// Removes the pictures of a camera: its engine was stopped.
    pub fn clear(&self, camera: usize) {
        if let Some(feed) = self.hub.feeds.get(camera) {
            feed.clear();
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, router: Router, connections: Arc<Semaphore>) {
    // The tasks of the connections end with this set, when the console is dropped.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        // Never closed. Further connections wait in the queue of the system.
        let Ok(place) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                tracing::warn!("console: a connection is not accepted: {e}");
                tokio::time::sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        let (tls, router) = (tls.clone(), router.clone());
        tasks.spawn(async move {
            let _place = place;
            if let Err(reason) = serve(stream, tls, router).await {
                tracing::debug!("console: {reason}");
            }
        });
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) -> Result<(), String> {
    // Masks are small messages that must not wait for more.
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    match tls {
        None => serve_http(stream, router).await,
        Some(tls) => {
            let handshake = timeout(HEADER_TIMEOUT, tls.accept(stream)).await;
            let stream = handshake.map_err(|_| "no TLS handshake")?.map_err(|e| format!("TLS: {e}"))?;
            serve_http(stream, router).await
        }
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
) -> Result<(), String> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(16 << 10);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    connection.with_upgrades().await.map_err(|e| e.to_string())
}

/// Reads the certificates and the key.
fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, SettingsError> {
    let wrong = |path: &Path, reason: String| SettingsError::Tls { path: path.to_owned(), reason };
    let TlsFiles { certificate, key } = files;
    let of_certificate = |e: &dyn std::fmt::Display| wrong(certificate, format!("no certificates in PEM format: {e}"));
    let chain = CertificateDer::pem_file_iter(certificate).map_err(|e| of_certificate(&e))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|e| of_certificate(&e))?;
    let private = PrivateKeyDer::from_pem_file(key);
    let private = private.map_err(|e| wrong(key, format!("no private key in PEM format: {e}")))?;
    let config = tls_config(chain, private);
    config.map(|config| TlsAcceptor::from(Arc::new(config))).map_err(|e| wrong(certificate, e.to_string()))
}

fn tls_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config =
        builder.with_safe_default_protocol_versions()?.with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
