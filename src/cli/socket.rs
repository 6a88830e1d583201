//! The way to a server that runs in a data directory: through its socket file, which only the owner of the directory can reach.

use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::app::admin_http::Refused;
use crate::app::data_dir::admin_socket;

/// A connection to a running server.
pub(super) struct Socket {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Socket {
    /// Connects. None: no server runs in the directory.
    ///
    /// # Errors
    /// When what answers there speaks no HTTP.
    pub(super) async fn connect(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(stream) = UnixStream::connect(admin_socket(data_dir)).await else {
            return Ok(None);
        };
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        Ok(Some(Self {
            sender,
            connection: tokio::spawn(connection),
        }))
    }

    /// As [`Self::connect`], for what only a running server can do.
    ///
    /// # Errors
    /// When no server runs in the directory.
    pub(super) async fn to_running(data_dir: &Path) -> anyhow::Result<Self> {
        Self::connect(data_dir).await?.with_context(|| {
            format!(
                "no server runs in {} (`provost up --data-dir {0}` starts one)",
                data_dir.display()
            )
        })
    }

    /// Asks the server. Gives the headers and the body of its answer.
    ///
    /// # Errors
    /// What the server says is wrong, or that it does not answer.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        target: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(HeaderMap, Bytes)> {
        let request = http::Request::builder()
            .method(method)
            .uri(target)
            .header(http::header::HOST, "provost")
            .header(http::header::CONTENT_TYPE, content_type)
            .body(Full::new(body.into()))?;
        self.sender.ready().await.context("the server has gone away")?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("the server did not answer")?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .context("the server broke its answer off")?
            .to_bytes();
        if head.status.is_success() {
            return Ok((head.headers, body));
        }
        match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) => bail!(refused.error),
            Err(_) => bail!("the server refused: {}", String::from_utf8_lossy(&body)),
        }
    }
}

/// A text as it may stand in a query.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push_str(&hex::encode_upper([byte]));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_has_a_meaning_in_a_query_is_escaped() {
        assert_eq!(escaped("A0-1:m&x=é"), "A0-1%3Am%26x%3D%C3%A9");
    }
}
