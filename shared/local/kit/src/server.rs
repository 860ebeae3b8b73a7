//! A loopback HTTP server that stops when the local cloud does.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Tells every part of one local cloud to stop. Cloning shares the signal.
#[derive(Clone, Debug)]
pub struct Shutdown {
    sender: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A signal that has not been given yet.
    pub fn new() -> Self {
        Self { sender: watch::Sender::new(false) }
    }

    /// Gives the signal.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the signal has been given.
    pub fn has_begun(&self) -> bool {
        *self.sender.borrow()
    }

    /// Completes once the signal has been given.
    pub async fn wait(&self) {
        let mut receiver = self.sender.subscribe();
        // An error means that the sender is gone, which is a shutdown too.
        drop(receiver.wait_for(|begun| *begun).await);
    }
}

/// A listening socket on the loopback interface that has not begun to serve.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Binds `port`, or a free port for 0, on 127.0.0.1.
    pub async fn bind(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://localhost:{port}`, the form that goes into redirects and settings.
    pub fn base_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Serves `router` in the background until `shutdown`; open connections are then dropped.
    pub fn serve(self, router: Router, shutdown: Shutdown) -> JoinHandle<()> {
        tokio::spawn(async move {
            let service = axum::serve(
                self.listener,
                router.into_make_service_with_connect_info::<SocketAddr>(),
            );
            tokio::select! {
                result = service => {
                    if let Err(error) = result {
                        tracing::error!(%error, "local server stopped");
                    }
                }
                () = shutdown.wait() => {}
            }
        })
    }
}
