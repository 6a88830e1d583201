//! One connection over plain HTTP/1.1, kept alive. It sends what it is given and reads answers of a told length; everything that a load does
//! not need is left out.

use std::io::{self, ErrorKind};
use std::ops::Range;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Where headers end.
const END: &[u8] = b"\r\n\r\n";

pub(super) struct Connection {
    stream: TcpStream,
    read: BytesMut,
    /// Where the body of the last answer is.
    body: Range<usize>,
}

impl Connection {
    /// Connects to `authority`, a host and a port.
    pub(super) async fn open(authority: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: BytesMut::with_capacity(8 * 1024),
            body: 0..0,
        })
    }

    /// Sends a whole request and waits for its answer. Gives the status; the [`Self::body`] is kept until the next one.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<u16> {
        self.read.advance(self.body.end);
        self.body = 0..0;
        self.stream.write_all(request).await?;
        let head = loop {
            if let Some(head) = Head::read(&self.read)? {
                break head;
            }
            self.more().await?;
        };
        let end = head.bytes + head.body;
        while self.read.len() < end {
            self.more().await?;
        }
        self.body = head.bytes..end;
        Ok(head.status)
    }

    /// The body of the last answer.
    pub(super) fn body(&self) -> &[u8] {
        self.read.get(self.body.clone()).unwrap_or_default()
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.read.len() > MAX_ANSWER {
            return Err(unreadable("an answer is too long"));
        }
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The beginning of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Up to the body.
    bytes: usize,
    /// Of the body.
    body: usize,
}

impl Head {
    /// None: it is not all there yet.
    fn read(text: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = text.windows(END.len()).position(|window| window == END) else {
            return Ok(None);
        };
        let head = text.get(..end).unwrap_or_default();
        let head =
            std::str::from_utf8(head).map_err(|_| unreadable("an answer has headers that are no text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| unreadable("an answer is no HTTP"))?;
        let length = lines.filter_map(|line| line.split_once(':'));
        let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let body = match length.map(|(_, value)| value.trim().parse().ok()).next() {
            Some(Some(length)) if length <= MAX_ANSWER => length,
            _ => return Err(unreadable("an answer does not say its length, or is too long")),
        };
        Ok(Some(Self {
            status,
            bytes: end + END.len(),
            body,
        }))
    }
}

fn unreadable(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_answer_is_read_once_it_is_there() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(Head::read(&answer[..40]).unwrap(), None);
        let head = Head::read(answer).unwrap().unwrap();
        assert_eq!((head.status, head.body), (200, 3));
        assert_eq!(&answer[head.bytes..], b"abc");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for wrong in [
            "hello\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        ] {
            assert!(Head::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
