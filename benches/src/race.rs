//! The race: every round starts each contestant once, in a new order, and measures from before the start to after the end.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stats::{Sample, Shuffle};

/// A command that is ready to be started, and what must stay open until it is.
#[derive(Debug)]
pub struct Ready {
    pub command: Command,
    pub keep: Vec<File>,
}

impl From<Command> for Ready {
    fn from(command: Command) -> Ready {
        Ready { command, keep: Vec::new() }
    }
}

/// One way to do what is being measured.
pub struct Contestant<'a> {
    /// What it is, where, and as whom: the columns of its row.
    pub labels: Vec<String>,
    /// Makes the command of one start; this is not measured.
    pub prepare: Box<dyn Fn() -> std::io::Result<Ready> + 'a>,
}

impl fmt::Debug for Contestant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contestant").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// What became of it: milliseconds, or why there are none.
#[derive(Debug)]
pub struct Outcome {
    pub labels: Vec<String>,
    pub result: Result<Sample, String>,
}

/// Starts everybody twice to warm up, drops who fails, and then runs the rounds. A failure in a round ends the whole race: a
/// contestant that works sometimes has no start-up time.
///
/// `rest` comes before each start: kernels and daemons take down in the background what the one before has left, and that is not
/// the next one's cost.
pub fn run(contestants: &[Contestant<'_>], rounds: usize, seed: u64, rest: Duration) -> Result<Vec<Outcome>, String> {
    let mut outcomes: Vec<Outcome> = contestants
        .iter()
        .map(|contestant| Outcome {
            labels: contestant.labels.clone(),
            result: once(contestant).and_then(|_| once(contestant)).map(|_| Sample::default()),
        })
        .collect();
    let mut shuffle = Shuffle::new(seed);
    for round in 0..rounds {
        for at in shuffle.order(contestants.len()) {
            let Ok(sample) = &mut outcomes[at].result else { continue };
            std::thread::sleep(rest);
            let took = once(&contestants[at]);
            let failed = |why: String| format!("{} failed in round {round}: {why}", contestants[at].labels.join(", "));
            sample.0.push(took.map_err(failed)?);
        }
    }
    Ok(outcomes)
}

/// Milliseconds from before the start to after the end.
fn once(contestant: &Contestant<'_>) -> Result<f64, String> {
    let mut ready = (contestant.prepare)().map_err(|error| format!("cannot be prepared: {error}"))?;
    let mut said = scratch().map_err(|error| format!("no file for what it says: {error}"))?;
    let errors = said.try_clone().map_err(|error| format!("no file for what it says: {error}"))?;
    // A group of its own: a Ctrl-C then ends the race between two starts, and not half a box.
    ready.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).process_group(0);
    let before = Instant::now();
    let status = ready.command.status().map_err(|error| format!("cannot be started: {error}"))?;
    let took = before.elapsed().as_secs_f64() * 1000.0;
    drop(ready.keep);
    if status.success() {
        return Ok(took);
    }
    let mut text = String::new();
    said.seek(SeekFrom::Start(0)).and_then(|_| said.read_to_string(&mut text)).ok();
    let words: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    Err(format!("{status}: {}", words.join("; ")))
}

fn scratch() -> std::io::Result<File> {
    Ok(rustix::fs::memfd_create("said", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &'static str) -> Contestant<'static> {
        let prepare = move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Ok(Ready::from(command))
        };
        Contestant { labels: vec![name.to_owned()], prepare: Box::new(prepare) }
    }

    #[test]
    fn the_slower_one_is_slower_and_the_broken_one_says_why() {
        let contestants =
            [shell("quick", "true"), shell("slow", "sleep 0.05"), shell("broken", "echo no such box >&2; exit 3")];
        let outcomes = run(&contestants, 3, 1, Duration::ZERO).expect("nobody fails who did not fail at first");
        let [quick, slow, broken] = outcomes.try_into().expect("one outcome for each");
        let (quick, slow) = (quick.result.expect("it works"), slow.result.expect("it works"));
        assert_eq!((quick.0.len(), slow.0.len()), (3, 3));
        assert!(slow.more_than(&quick) > 10.0, "{slow:?} {quick:?}");
        assert_eq!(broken.result.unwrap_err(), "exit status: 3: no such box");
    }
}
