//! Opening sockets: TCP, Unix, TLS.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use oxmq_core::{Error, ErrorKind, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::target::{Address, Target};
use super::traffic::Traffic;

/// The kernel asks a silent peer after this time..
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// ..and again each time this has passed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// What all sockets of a hub have in common.
#[derive(Clone)]
pub(super) struct Dialer {
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Dialer {
    /// Reads the certificates, if there is encryption.
    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::unnecessary_wraps, reason = "certificates may be unreadable")
    )]
    pub(super) fn new(target: &Target) -> Result<Self> {
        #[cfg(feature = "tls")]
        return Ok(Self { tls: if target.tls { Some(tls::connector(target.ca.as_deref())?) } else { None } });
        #[cfg(not(feature = "tls"))]
        {
            let _ = target;
            Ok(Self {})
        }
    }

    /// Opens a socket to `address`.
    pub(super) async fn dial(&self, address: &Address) -> io::Result<Box<dyn Socket>> {
        Ok(self.dial_with(address, |_| Ok(())).await?.0)
    }

    /// Opens a socket to `address` on which one can see whether something has arrived.
    pub(super) async fn dial_tapped(&self, address: &Address) -> io::Result<(Box<dyn Socket>, Tap)> {
        self.dial_with(address, |socket| socket.try_clone().map(Tap)).await
    }

    async fn dial_with<T>(
        &self,
        address: &Address,
        look: impl FnOnce(&SockRef<'_>) -> io::Result<T>,
    ) -> io::Result<(Box<dyn Socket>, T)> {
        match address {
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                let keepalive =
                    TcpKeepalive::new().with_time(KEEPALIVE_TIME).with_interval(KEEPALIVE_INTERVAL);
                let socket = SockRef::from(&stream);
                socket.set_tcp_keepalive(&keepalive)?;
                let seen = look(&socket)?;
                #[cfg(feature = "tls")]
                if let Some(tls) = &self.tls {
                    let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host.clone())
                        .map_err(io::Error::other)?;
                    return Ok((Box::new(tls.connect(name, stream).await?), seen));
                }
                Ok((Box::new(stream), seen))
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await?;
                let seen = look(&SockRef::from(&stream))?;
                Ok((Box::new(stream), seen))
            }
            #[cfg(not(unix))]
            Address::Unix(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "no Unix sockets on this system"))
            }
        }
    }
}

/// What it means that a socket could not be opened.
pub(super) fn understand(error: io::Error, address: &Address) -> Error {
    #[cfg(feature = "tls")]
    if error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>()).is_some() {
        let message =
            format!("no encryption with {address}: {error}: trust its CA by ?ca=PATH, or see if it has TLS");
        return Error::new(ErrorKind::Refused, "connect", message).caused_by(error);
    }
    let message = format!("{address} cannot be reached: {error}");
    Error::new(ErrorKind::Unavailable, "connect", message).caused_by(error)
}

/// Another handle to a socket, for a look at it without a turn of its runtime.
pub(super) struct Tap(socket2::Socket);

impl Tap {
    /// Whether nothing has arrived that was not read, and no end.
    pub(super) fn is_quiet(&self) -> bool {
        // The socket does not block, as its runtime has it so.
        let seen = self.0.peek(&mut [MaybeUninit::uninit()]);
        seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Ends the connection, which this handle would hold open.
    pub(super) fn shut(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Any socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A socket that notes what went through it: whether a call was written at all, and when the server last spoke.
pub(super) struct Noted {
    pub(super) socket: Box<dyn Socket>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) is_full: bool,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.traffic.heard();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(cx, bytes) else {
            self.is_full = true;
            return Poll::Pending;
        };
        let written = written?;
        self.traffic.wrote(written);
        // There is room again because the other side took something: it lives, though it says nothing yet.
        if std::mem::take(&mut self.is_full) {
            self.traffic.heard();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::Path;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::{Arc, Error, Result};

    /// The provider is named here and not installed for the process: what a user's program installs stays as it is.
    pub(super) fn connector(ca: Option<&Path>) -> Result<TlsConnector> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca {
            let remedy = "name a readable PEM file with the certificates to trust";
            let wrong = |error| Error::invalid("connect", "ca", path.display(), remedy).caused_by(error);
            for certificate in CertificateDer::pem_file_iter(path).map_err(wrong)? {
                let certificate = certificate.map_err(wrong)?;
                roots.add(certificate).map_err(|error| {
                    Error::invalid("connect", "ca", path.display(), remedy).caused_by(error)
                })?;
            }
            if roots.is_empty() {
                return Err(Error::invalid("connect", "ca", path.display(), remedy));
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                Error::new(oxmq_core::ErrorKind::Internal, "connect", "TLS cannot be set up").caused_by(error)
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
