//! The server: listens, routes, keeps the log. A thread for each connection; agents make few.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::dialect::Dialect;
use super::http::{self, Request};
use super::script::Script;

/// Where to listen.
#[derive(Debug, Clone)]
pub enum Listen {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What a server needs.
#[derive(Debug)]
pub struct Options {
    pub script: Script,
    /// Appended to, a line of JSON for each request.
    pub log: Option<File>,
    /// A header and its value, without which a model request is answered with 401.
    pub require: Option<(String, String)>,
}

/// A running server. It runs for as long as its process.
#[derive(Debug)]
pub struct Server {
    tcp: Option<SocketAddr>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    log: Mutex<(u64, Option<File>)>,
    require: Option<(String, String)>,
}

/// What is answered, and what the log says of it.
struct Reply {
    status: u16,
    body: Value,
    events: Option<Vec<(&'static str, String)>>,
    note: Value,
}

impl Reply {
    fn plain(status: u16, body: Value) -> Reply {
        Reply { status, body, events: None, note: Value::Null }
    }
}

impl Server {
    /// Listens, and answers from threads of its own.
    pub fn start(listen: &[Listen], options: Options) -> io::Result<Server> {
        let shared = Arc::new(Shared {
            script: Mutex::new(options.script),
            log: Mutex::new((0, options.log)),
            require: options.require,
        });
        let mut server = Server { tcp: None };
        for place in listen {
            match place {
                Listen::Tcp(address) => {
                    let listener = TcpListener::bind(address)?;
                    server.tcp = server.tcp.or(Some(listener.local_addr()?));
                    let shared = Arc::clone(&shared);
                    let accept = move || listener.accept().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>);
                    std::thread::spawn(move || serve(accept, &shared));
                }
                Listen::Unix(path) => {
                    let listener = bind_unix(path)?;
                    let shared = Arc::clone(&shared);
                    let accept = move || listener.accept().map(|(stream, _)| Box::new(stream) as Box<dyn Stream>);
                    std::thread::spawn(move || serve(accept, &shared));
                }
            }
        }
        Ok(server)
    }

    /// The first TCP address that it listens at.
    pub fn address(&self) -> Option<SocketAddr> {
        self.tcp
    }
}

trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}

fn serve(accept: impl Fn() -> io::Result<Box<dyn Stream>>, shared: &Arc<Shared>) {
    while let Ok(stream) = accept() {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let mut stream = Both(BufReader::new(stream));
            // A client that goes away or talks nonsense ends its own connection, and no more.
            while let Ok(Some(request)) = http::read_request(&mut stream) {
                if answer(&mut stream, &request, &shared).is_err() || request.wants_close() {
                    break;
                }
            }
        });
    }
}

/// A buffered reader that can be written to.
struct Both(BufReader<Box<dyn Stream>>);

impl Read for Both {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl io::BufRead for Both {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

impl Write for Both {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}

fn answer(stream: &mut Both, request: &Request, shared: &Shared) -> io::Result<()> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let reply = route(request, &body, shared);
    shared.record(request, &body, &reply);
    match reply.events {
        Some(events) => http::write_events(stream, events),
        None => http::write_whole(stream, reply.status, reply.body.to_string().as_bytes(), request.method == "HEAD"),
    }
}

fn route(request: &Request, body: &Value, shared: &Shared) -> Reply {
    let path = request.path();
    let refuse = |status: u16, why: &str| Reply::plain(status, Dialect::Chat.refusal(status, why));
    if request.method == "CONNECT" || request.target.contains("://") {
        return refuse(403, "this is no proxy");
    }
    if request.header("upgrade").is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return refuse(426, "no websockets here");
    }
    if request.header("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return refuse(415, "bodies have to be plain");
    }
    let dialect = Dialect::of(path).filter(|_| request.method == "POST");
    if (dialect.is_some() || path.contains("/models")) && !shared.admits(request) {
        return Reply::plain(401, dialect.unwrap_or_default().refusal(401, "wrong or missing credential"));
    }
    match (request.method.as_str(), dialect) {
        (_, Some(dialect)) => converse(dialect, request, body, shared),
        ("POST", None) if path.ends_with("/count_tokens") => Reply::plain(200, json!({"input_tokens": 10})),
        ("POST", None) if path.ends_with(":countTokens") => Reply::plain(200, json!({"totalTokens": 10})),
        ("POST", None) if path.ends_with(":loadCodeAssist") => Reply::plain(
            200,
            json!({"currentTier": {"id": "free-tier", "name": "mock"}, "cloudaicompanionProject": "mock"}),
        ),
        ("GET", None) if path.ends_with("/models") => {
            let model = json!({"id": "mock-model", "object": "model", "type": "model", "display_name": "mock-model", "created_at": "2026-01-01T00:00:00Z"});
            let google = json!({"name": "models/mock-model", "supportedGenerationMethods": ["generateContent"]});
            Reply::plain(200, json!({"object": "list", "data": [model], "has_more": false, "models": [google]}))
        }
        ("HEAD", None) => Reply::plain(200, json!({})),
        _ => refuse(404, "there is no such thing here"),
    }
}

fn converse(dialect: Dialect, request: &Request, body: &Value, shared: &Shared) -> Reply {
    let ask = dialect.parse(request.path(), body);
    let due = shared.script.lock().expect("no thread panics with the script").due(&ask);
    std::thread::sleep(due.delay);
    let names: Vec<_> = ask.tools.iter().map(|tool| tool.name.as_str()).collect();
    let mut note = json!({"dialect": dialect.name(), "step": due.step, "turns": ask.turns, "tools": names, "tool_results": ask.results});
    let answer = match due.act {
        Ok(answer) => answer,
        Err(status) => {
            let body = dialect.refusal(status, "as the script says");
            return Reply { status, body, events: None, note };
        }
    };
    note["text"] = json!(answer.text);
    note["calls"] = answer.calls.iter().map(|call| json!({"tool": call.name, "input": call.input})).collect();
    let seed = shared.log.lock().expect("no thread panics with the log").0;
    let mut rendered = dialect.render(&ask, &answer, seed);
    if dialect == Dialect::Gemini && body.get("request").is_some() {
        rendered.whole = json!({"response": rendered.whole});
        for (_, data) in &mut rendered.events {
            *data = format!("{{\"response\":{data}}}");
        }
    }
    // Gemini's stream is an array of answers unless it is asked for as events.
    if ask.stream && dialect == Dialect::Gemini && !request.target.contains("alt=sse") {
        let all = rendered.events.iter().map(|(_, data)| data.as_str()).collect::<Vec<_>>().join(",");
        let body = serde_json::from_str(&format!("[{all}]")).unwrap_or(Value::Null);
        return Reply { status: 200, body, events: None, note };
    }
    let events = ask.stream.then_some(rendered.events);
    Reply { status: 200, body: rendered.whole, events, note }
}

impl Shared {
    fn admits(&self, request: &Request) -> bool {
        self.require.as_ref().is_none_or(|(name, value)| request.header(name) == Some(value.as_str()))
    }

    /// One line for each request. The log is what tests look at, so a line that cannot be written ends the server.
    fn record(&self, request: &Request, body: &Value, reply: &Reply) {
        let mut log = self.log.lock().expect("no thread panics with the log");
        log.0 += 1;
        let body = if body.is_null() { json!(String::from_utf8_lossy(&request.body)) } else { body.clone() };
        let line = json!({
            "n": log.0, "method": request.method, "path": request.target, "headers": request.headers, "body": body,
            "status": reply.status, "served": reply.note,
        });
        if let Some(file) = &mut log.1
            && writeln!(file, "{line}").is_err()
        {
            std::process::abort();
        }
    }
}
