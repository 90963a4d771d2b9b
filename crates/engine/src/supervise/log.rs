//! The run's own record, one JSON object a line, in the run's folder. It outlives the run.

use crate::{EngineError, Outcome};
use pinfold_wire::{FromMaskFs, GitOffer};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes that a box can make us write. What comes later is counted, not kept.
const MAX_LOG: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct RunLog {
    file: File,
    written: usize,
    dropped: u64,
}

impl RunLog {
    pub(super) fn open(run: &Path) -> Result<RunLog, EngineError> {
        let path = run.join("log.jsonl");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(EngineError::io(format!("write {}", path.display())))?;
        Ok(RunLog { file, written: 0, dropped: 0 })
    }

    fn line(&mut self, mut line: Value) {
        if let (Some(line), Ok(now)) = (line.as_object_mut(), SystemTime::now().duration_since(UNIX_EPOCH)) {
            line.insert("at".into(), json!(now.as_millis() as u64));
        }
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        if self.written + bytes.len() > MAX_LOG {
            self.dropped += 1;
            return;
        }
        self.written += bytes.len();
        // A full disk must not end the box, and there is nowhere else to say it.
        let _ = self.file.write_all(&bytes);
    }

    pub(super) fn started(&mut self) {
        self.line(json!({"event": "started"}));
    }

    pub(super) fn offer(&mut self, offer: &GitOffer) {
        self.line(
            json!({"event": "commits-offered", "number": offer.number, "head": offer.head_ref, "refs": offer.refs}),
        );
    }

    pub(super) fn maskfs(&mut self, message: &FromMaskFs) {
        let line = match message {
            FromMaskFs::Event { line } => json!({"event": "workspace", "line": line}),
            other => json!({"event": "maskfs", "said": other}),
        };
        self.line(line);
    }

    pub(super) fn failed(&mut self, error: &EngineError) {
        self.line(json!({"event": "failed", "error": error.to_string()}));
    }

    pub(super) fn ended(&mut self, outcome: &Outcome) {
        // There is always room for the last line.
        self.written = 0;
        let dropped = self.dropped;
        self.line(json!({
            "event": "ended", "exit-code": outcome.exit_code(), "timed-out": outcome.timed_out, "lines-dropped": dropped,
        }));
    }
}
