//! The MaskFs process: joins the file system with the git door and with the supervisor.
//!
//! The two crates do not know each other; here one becomes the other's [`GitDoor`]. The process ends when the box's mount
//! is gone, or when the supervisor is, and takes the run's private folders with it.

mod repositories;

use pinfold_handback::door::{self, DoorAsk, HostGit, Person};
use pinfold_maskfs::{Canary, Event, Owners, Parts, Server, View};
use pinfold_plan::{BoxPath, HostPath, Workspace};
use pinfold_policy::{PathPolicy, RelPath};
use pinfold_sys::channel::Channel;
use pinfold_sys::process::inherited;
use pinfold_wire::{CANARY_NAME, FromMaskFs, MaskFsConfig, ToMaskFs, maskfs_fd};
use repositories::{Door, Repositories};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

/// What the box must never read; the start of every box tries to.
const CANARY_BYTES: &[u8] = b"pinfold-canary: a box that reads this has no mask\n";

/// Secret files that the box makes for itself should not be added by its `git add -A` either. This list spares the agent
/// a commit that would not land; what keeps such a commit from landing is the hand-back.
const EXCLUDES: &[u8] = b"# Names that pinfold keeps in the box.\n\
.env\n.env.*\n*.env\n.envrc\n.dev.vars\n*.pem\n*.key\n*.p12\n*.pfx\n*.jks\n*.keystore\n*.kdbx\n*.tfvars\n*.tfstate\n\
*.tfstate.*\nid_rsa*\nid_ed25519*\nid_ecdsa*\n.netrc\n.npmrc\n.pypirc\n.pgpass\n.git-credentials\n*.secret\n*.secrets\n\
secrets/\n.secrets/\n.aws/\n.kube/\n.ssh/\n.gnupg/\n\
!*.example\n!*.sample\n!*.template\n!*.dist\n!*.pub\n";

const SIGTERM: i32 = 15;

/// Threads that answer the kernel. One does nearly all the work; the others are for calls that wait (a large `fsync`, a
/// private repository in the making).
const THREADS: usize = 4;

/// From here until the kernel may remember anything of the host's tree: what is done in this time ends without a wait.
const UNWATCHED: Duration = Duration::from_millis(100);

pub fn main() -> ExitCode {
    match Process::start() {
        Ok(process) => process.serve(),
        Err(()) => ExitCode::FAILURE,
    }
}

/// Says what failed to the supervisor, which tells the person.
fn fail(control: &Channel, doing: impl Into<String>, error: impl Into<io::Error>) {
    let errno = error.into().raw_os_error().unwrap_or(libc_eio());
    say(control, &FromMaskFs::Failed { doing: doing.into(), errno });
}

fn libc_eio() -> i32 {
    Errno::IO.raw_os_error()
}

fn say(control: &Channel, message: &FromMaskFs) {
    if let Ok(bytes) = pinfold_wire::encode(message) {
        // When the supervisor is gone, so is everything else in a moment.
        control.send(&bytes, &[]).ok();
    }
}

struct Process {
    control: Arc<Channel>,
    fuse: Channel,
    run_dir: HostPath,
    workspace: Workspace,
    objects_at: Vec<BoxPath>,
    person: Option<Person>,
    root: OwnedFd,
    repositories: Arc<Repositories>,
    over: Once,
    /// The box's own `.git` is being made.
    making: AtomicBool,
}

impl Process {
    fn start() -> Result<Self, ()> {
        // The supervisor's end is told by the control channel, so that there is time to clean up.
        pinfold_sys::signal::block(&[SIGTERM]).map_err(drop)?;
        rustix::process::umask(Mode::empty());
        let control = Arc::new(Channel::from_fd(inherited(maskfs_fd::CONTROL).map_err(drop)?));
        let prepared = Self::prepare(control.clone());
        prepared.map_err(|(doing, error)| fail(&control, doing, error))
    }

    fn prepare(control: Arc<Channel>) -> Result<Self, (String, io::Error)> {
        let reading = |error: io::Error| ("reading the configuration of MaskFs".to_owned(), error);
        let fuse = Channel::from_fd(inherited(maskfs_fd::FUSE).map_err(reading)?);
        let mut text = Vec::new();
        let config = inherited(maskfs_fd::CONFIG).map_err(reading)?;
        std::fs::File::from(config).read_to_end(&mut text).map_err(reading)?;
        let json = |error: serde_json::Error| reading(error.into());
        let config: MaskFsConfig = serde_json::from_slice(&text).map_err(json)?;
        let workspace: Workspace = serde_json::from_value(config.workspace).map_err(json)?;
        let run_dir: HostPath = serde_json::from_value(config.run_dir).map_err(json)?;
        let objects_at = serde_json::from_value(config.objects_at).map_err(json)?;
        let person: Vec<HostPath> =
            config.person.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().map_err(json)?;
        let person = person_at(&person);
        let root = open_seen(&workspace).map_err(|e| (format!("opening the workspace {}", workspace.root), e))?;
        raise_open_files();
        Ok(Process {
            control,
            fuse,
            run_dir,
            workspace,
            objects_at,
            person,
            root,
            repositories: Arc::default(),
            over: Once::new(),
            making: AtomicBool::new(false),
        })
    }

    fn serve(self) -> ExitCode {
        let server = match self.mount() {
            Ok(server) => Arc::new(server),
            Err((doing, error)) => {
                fail(&self.control, doing, error);
                self.clean();
                return ExitCode::FAILURE;
            }
        };
        say(&self.control, &FromMaskFs::Serving);
        std::thread::scope(|scope| {
            scope.spawn(|| self.listen(&server));
            scope.spawn(|| self.make_git(&server));
            server.wait();
            if self.making.load(Ordering::Acquire) {
                // Whether the supervisor is there to remove what is half made is told on the control channel, in a moment.
                loop {
                    std::thread::park();
                }
            }
            self.finish()
        })
    }

    fn mount(&self) -> Result<Server, (String, io::Error)> {
        let policy = || PathPolicy::new(&self.workspace.policy).map_err(|e| (e.to_string(), Errno::INVAL.into()));
        // The run's folders are made after this process, so that there is always somebody to remove them; when the mount
        // comes in, they are there.
        let received = self.fuse.recv().map_err(|e| ("receiving the mount".to_owned(), e))?;
        let fuse = received.and_then(|mut message| message.fds.pop());
        // No descriptor: the box failed before it mounted, and the supervisor knows why.
        let fuse = fuse.ok_or_else(|| ("receiving the mount".to_owned(), io::ErrorKind::UnexpectedEof.into()))?;
        let store = open_folder(&self.run_dir.join("private").to_path_buf())
            .map_err(|e| (format!("opening the private store in {}", self.run_dir), e))?;
        let control = self.control.clone();
        let opening = |e| ("opening the workspace".to_owned(), e);
        let person = self.person.clone();
        let door =
            Door::new(&self.workspace, policy()?, &self.root, person, self.repositories.clone(), control.clone());
        let door = door.map_err(opening)?;
        let parts = Parts {
            root: self.root.try_clone().map_err(opening)?,
            store,
            policy: policy()?,
            owners: owners(&self.workspace),
            git_mount: self.workspace.git.is_some(),
            door: Box::new(door),
            on_event: Box::new(move |event| say(&control, &log_line(&event))),
            folder_fds: folder_fds(),
            canary: Some(Canary { name: CANARY_NAME.into(), bytes: CANARY_BYTES.to_vec() }),
        };
        let view = View::new(parts).map_err(|e| ("looking at the workspace".to_owned(), e.into()))?;
        view.rest(UNWATCHED);
        self.confine().map_err(|e| ("confining MaskFs with Landlock".to_owned(), e))?;
        Server::start(view, fuse, THREADS).map_err(|e| ("starting threads".to_owned(), e))
    }

    /// From here on the box's bytes are read. The threads that are started after this inherit the cage.
    fn confine(&self) -> io::Result<()> {
        let run_dir = open_folder(self.run_dir.as_path())?;
        let mut read = Vec::new();
        if let Some(git) = &self.workspace.git {
            for path in [&git.git_dir, &git.common_dir].into_iter().chain(git.objects.iter().map(|store| &store.path)) {
                read.push(open_folder(path.as_path())?);
            }
        }
        let read: Vec<_> = read.iter().map(AsFd::as_fd).collect();
        let status = pinfold_maskfs::isolate::confine(&[self.root.as_fd(), run_dir.as_fd()], &read);
        // A kernel without Landlock: the plan has said so to the person already.
        status.map(drop).map_err(io::Error::other)
    }

    /// Waits for the command's start, then for the supervisor's end.
    fn listen(&self, server: &Server) {
        while let Ok(Some(message)) = self.control.recv() {
            match pinfold_wire::decode(&message.bytes) {
                Ok(ToMaskFs::Go) => server.go(),
                Ok(ToMaskFs::Over) => self.finish(),
                Err(_) => {}
            }
        }
        self.finish()
    }

    /// The box is over, as the supervisor or the kernel has said; often both do, and the second waits for the first.
    fn finish(&self) -> ! {
        let gone = self.supervisor_is_gone();
        if self.making.load(Ordering::Acquire) && !gone {
            // A command that was done before its index was: the end of this process stops the work, and the supervisor
            // removes what there is of it. Removing it under the maker's hands would have both wait for each other.
            std::process::exit(0)
        }
        self.over.call_once(|| {
            if !gone {
                self.repositories.tell_what_stays(&self.control);
            }
            self.wait_for_the_maker();
            self.clean();
        });
        // Whoever still waits for something has nothing to wait for.
        std::process::exit(0)
    }

    /// Its end of the channel is closed before its children are told that it died.
    fn supervisor_is_gone(&self) -> bool {
        let mut poll = [PollFd::new(self.control.as_ref(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut poll, Some(&now)).is_ok() && poll[0].revents().contains(PollFlags::HUP)
    }

    /// Nobody but this process will remove what is being made now.
    fn wait_for_the_maker(&self) {
        const STEP: Duration = Duration::from_millis(2);
        const STEPS: u32 = 5_000;
        for _ in 0..STEPS {
            if !self.making.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(STEP);
        }
    }

    /// Makes the box's own `.git` while the box is being built.
    fn make_git(&self, server: &Server) {
        let Some(facts) = &self.workspace.git else { return };
        // A large index is a lot of work, and the box is being started meanwhile.
        pinfold_sys::priority::work_in_background().ok();
        self.making.store(true, Ordering::Release);
        let built = self.build_git(facts);
        self.making.store(false, Ordering::Release);
        match built {
            Ok(report) => {
                for text in report.notes {
                    say(&self.control, &FromMaskFs::Note { text });
                }
                let tracked_masked = report.tracked_masked_total as u64;
                say(&self.control, &FromMaskFs::Counts { tracked_masked, masked: 0, private: 0 });
                server.git_ready();
            }
            Err((doing, error)) => fail(&self.control, doing, error),
        }
    }

    fn build_git(&self, facts: &pinfold_plan::GitFacts) -> Result<door::DoorReport, (String, io::Error)> {
        let doing = |e: door::DoorError| (format!("making the box's own .git: {e}"), Errno::IO.into());
        let policy = PathPolicy::new(&self.workspace.policy).map_err(|e| (e.to_string(), Errno::INVAL.into()))?;
        let owners = owners(&self.workspace);
        let ids = self.workspace.ids;
        let mapped = (ids.uid_inside, ids.gid_inside) != (ids.uid_outside, ids.gid_outside);
        let dest =
            open_folder(&self.run_dir.join("git").to_path_buf()).map_err(|e| ("opening the run's git/".into(), e))?;
        let git = HostGit::open(facts).map_err(doing)?;
        let ask = DoorAsk {
            alternates: self.objects_at.iter().map(|at| at.as_path().as_os_str().as_encoded_bytes().to_vec()).collect(),
            identity: self.workspace.identity.as_ref(),
            policy: &policy,
            prefix: RelPath::ROOT,
            root: Some(self.workspace.root.as_path()),
            present_ids: &|uid, gid| owners.present(uid, gid),
            owner: mapped.then_some((ids.uid_outside, ids.gid_outside)),
            excludes: EXCLUDES,
            hooks: true,
            person: self.person.as_ref(),
        };
        door::build(&git, dest.as_fd(), &ask).map_err(doing)
    }

    /// Nothing of the run stays but its log.
    fn clean(&self) {
        for folder in ["private", "git"] {
            pinfold_sys::tree::remove(self.run_dir.join(folder).as_path()).ok();
        }
    }
}

/// The person's own git settings, as far as they decide what `git status` says.
fn person_at(folders: &[HostPath]) -> Option<Person> {
    let [home, config] = folders else { return None };
    Some(Person::read(home.as_path(), config.as_path()))
}

/// What stands at the workspace's path must be what the plan saw there.
fn open_seen(workspace: &Workspace) -> io::Result<OwnedFd> {
    let fd = open_folder(workspace.root.as_path())?;
    let stat = rustix::fs::fstat(&fd)?;
    if (stat.st_dev, stat.st_ino) != (workspace.seen.dev, workspace.seen.ino) {
        return Err(Errno::STALE.into());
    }
    Ok(fd)
}

fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it the box can open fewer files at once, and is told so by the file system.
    setrlimit(Resource::Nofile, limit).ok();
}

/// Half of what may be open at once is for folders that are held open to be fast.
fn folder_fds() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    usize::try_from(limit / 2).unwrap_or(usize::MAX).clamp(64, 32 * 1024)
}

fn owners(workspace: &Workspace) -> Owners {
    let ids = workspace.ids;
    Owners {
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        uid_inside: ids.uid_inside,
        gid_inside: ids.gid_inside,
        all: rustix::process::getuid().is_root(),
    }
}

fn log_line(event: &Event) -> FromMaskFs {
    let line = match event {
        Event::Refused { what, path } => serde_json::json!({ "refused": what, "path": path.to_string() }),
        Event::Private { path } => serde_json::json!({ "private": path.to_string() }),
        Event::Apart { path } => serde_json::json!({ "apart": path.to_string() }),
        Event::Note { text } => return FromMaskFs::Note { text: text.clone() },
    };
    FromMaskFs::Event { line }
}
