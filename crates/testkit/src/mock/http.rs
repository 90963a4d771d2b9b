//! As much of HTTP/1.1 as the agents use, with a limit on everything. One request at a time on a connection.

use std::io::{self, BufRead, Read, Write};

/// The longest line, the most headers, and the largest body: an agent sends its whole conversation each time.
const LINE_BYTES: u64 = 64 << 10;
const HEADERS: usize = 200;
const BODY_BYTES: usize = 64 << 20;

/// A request, read whole.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// With its query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The target without its query and trailing slashes.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default().trim_end_matches('/')
    }

    fn is(&self, header: &str, word: &str) -> bool {
        self.header(header).is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    pub fn wants_close(&self) -> bool {
        self.is("connection", "close")
    }
}

/// Reads the next request; `None` when the other side has closed.
pub fn read_request(from: &mut (impl BufRead + Write)) -> io::Result<Option<Request>> {
    let Some(first) = line(from)? else { return Ok(None) };
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(bad(format!("this is no request: {first:?}")));
    };
    let mut request = Request { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() };
    while let Some(header) = line(from)?.filter(|header| !header.is_empty()) {
        let Some((name, value)) = header.split_once(':') else {
            return Err(bad(format!("this is no header: {header:?}")));
        };
        request.headers.push((name.trim().into(), value.trim().into()));
        if request.headers.len() > HEADERS {
            return Err(bad("too many headers".into()));
        }
    }
    if request.is("expect", "100-continue") {
        from.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = if request.is("transfer-encoding", "chunked") {
        chunks(from)?
    } else {
        let length =
            request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| bad("no such length".into()))?;
        exactly(from, length)?
    };
    Ok(Some(request))
}

/// An answer of known length.
pub fn write_whole(to: &mut impl Write, status: u16, body: &[u8], head_only: bool) -> io::Result<()> {
    write!(
        to,
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        phrase(status),
        body.len()
    )?;
    if !head_only {
        to.write_all(body)?;
    }
    to.flush()
}

/// A stream of server-sent events, each sent as it is.
pub fn write_events<'a>(to: &mut impl Write, events: impl IntoIterator<Item = (&'a str, String)>) -> io::Result<()> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    for (name, data) in events {
        let event =
            if name.is_empty() { format!("data: {data}\n\n") } else { format!("event: {name}\ndata: {data}\n\n") };
        write!(to, "{:x}\r\n{event}\r\n", event.len())?;
        to.flush()?;
    }
    to.write_all(b"0\r\n\r\n")?;
    to.flush()
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        415 => "Unsupported Media Type",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        529 => "Overloaded",
        _ => "Answer",
    }
}

/// A line without its end; `None` at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    from.take(LINE_BYTES).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(bad("a line without an end".into()));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map(Some).map_err(|_| bad("a line that is no text".into()))
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let head = line(from)?.unwrap_or_default();
        let size = head.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad(format!("this is no chunk: {head:?}")))?;
        if size == 0 {
            while line(from)?.is_some_and(|trailer| !trailer.is_empty()) {}
            return Ok(body);
        }
        if size > BODY_BYTES - body.len() {
            return Err(bad("the body is too large".into()));
        }
        body.extend(exactly(from, size)?);
        line(from)?;
    }
}

fn exactly(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > BODY_BYTES {
        return Err(bad("the body is too large".into()));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both halves of a connection.
    struct Wire(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Wire {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }
    impl BufRead for Wire {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }
        fn consume(&mut self, amount: usize) {
            self.0.consume(amount);
        }
    }
    impl Write for Wire {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.1.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read(text: &str) -> io::Result<Option<Request>> {
        read_request(&mut Wire(io::Cursor::new(text.as_bytes().to_vec()), Vec::new()))
    }

    #[test]
    fn bodies_come_by_length_and_by_chunks() {
        let request = read("POST /v1/messages?x=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}").unwrap().unwrap();
        assert_eq!((request.path(), request.body.as_slice()), ("/v1/messages", b"{}".as_slice()));
        let request =
            read("POST /a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n1\r\nd\r\n0\r\nT: t\r\n\r\n");
        let request = request.unwrap().unwrap();
        assert_eq!((request.path(), request.body.as_slice()), ("/a", b"abcd".as_slice()));
    }

    #[test]
    fn nonsense_is_an_error_and_the_end_is_none() {
        assert!(read("").unwrap().is_none());
        for text in ["GET\r\n\r\n", "GET / HTTP/1.1", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "\u{0}\u{0}\r\n"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(read("POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n").is_err());
        assert!(read("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n").is_err());
    }
}
