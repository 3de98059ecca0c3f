//! The pipes of one process. A kept input has one pipe over all lives, of which the daemon holds a spare read end that
//! it never reads; everything else is new for each life. Never keeps a write end: EOF must come when the child goes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use nix::fcntl::OFlag;

use super::Wiring;
use crate::model::{OutputPolicy, ProcessId, ProcessSpec, Stream};
use crate::store::{Kept, Meaning, Store};
use crate::sys::{pipe, process};

mod handover;

pub(super) use handover::Written;

/// A pipe into the process.
struct Input {
    stream: Stream,
    /// The life with which its write end was lent.
    lent: u64,
    /// The route has dropped its write end for good.
    ended: bool,
    /// Of a kept one, the spare read end.
    spare: Option<OwnedFd>,
    /// Its write end, until it is lent.
    to_lend: Option<OwnedFd>,
    /// The spare read end outlives the daemon, and by it the pipe with what stands in it.
    kept: Kept,
}

/// All of them.
pub(super) struct Streams {
    keep: bool,
    inputs: Vec<Input>,
    outputs: Vec<Stream>,
    logged: Vec<Stream>,
    /// What outlives the daemon, and whose it is.
    keeping: (Store, ProcessId),
}

/// An end for a route.
pub(super) struct Lending {
    pub(super) stream: Stream,
    pub(super) end: OwnedFd,
    /// Of an output.
    pub(super) kept: Kept,
}

/// The ends for one life.
#[derive(Default)]
pub(super) struct Ends {
    /// By their number in the child; to be dropped once it is forked.
    pub(super) child: Vec<(i32, OwnedFd)>,
    /// Read ends for routes.
    pub(super) lend: Vec<Lending>,
    /// Read ends for the log.
    pub(super) log: Vec<(Stream, OwnedFd)>,
}

impl Streams {
    pub(super) fn new(spec: &ProcessSpec, wiring: Wiring, keeping: (Store, ProcessId)) -> Streams {
        let policies = [(Stream::Stdout, spec.stdout), (Stream::Stderr, spec.stderr)];
        let logged = policies
            .into_iter()
            .filter(|(stream, policy)| *policy == OutputPolicy::Log && !wiring.outputs.contains(stream))
            .map(|(stream, _)| stream);
        let input = |stream: &Stream| Input::new(*stream, &keeping);
        Streams {
            keep: spec.keep_stdin,
            inputs: wiring.inputs.iter().map(input).collect(),
            logged: logged.collect(),
            outputs: wiring.outputs,
            keeping,
        }
    }

    /// What outlives the daemon, and whose it is.
    pub(super) fn keeping(&self) -> (Store, ProcessId) {
        self.keeping.clone()
    }

    /// Whether pipes have to be in the store before they are used.
    pub(super) fn are_kept(&self) -> bool {
        self.keeping.0.is_there()
    }

    /// Ready when all kept inputs are.
    pub(super) fn poll_stored(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut ready = true;
        for input in &mut self.inputs {
            ready &= input.kept.poll(cx).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Other streams from the next life on; of the life that runs, those that it has.
    pub(super) fn rewire(&mut self, spec: &ProcessSpec, wiring: Wiring) {
        let mut fresh = Streams::new(spec, wiring, self.keeping());
        for input in &mut fresh.inputs {
            if let Some(place) = self.inputs.iter().position(|old| old.stream == input.stream) {
                *input = self.inputs.swap_remove(place);
            }
        }
        *self = fresh;
    }

    /// Whether the log shows what comes out of it.
    pub(super) fn is_logged(&self, stream: Stream) -> bool {
        self.logged.contains(&stream)
    }

    /// Makes the ends for a life of this user (`None`: the daemon's). What stays open over lives is kept here, also when
    /// something fails half-way.
    pub(super) fn open(&mut self, owner: Option<u32>) -> io::Result<Ends> {
        let mut ends = Ends::default();
        for input in &mut self.inputs {
            let reader = input.open(self.keep, &self.keeping)?;
            ends.child.push((input.stream.number(), reader));
        }
        for stream in &self.outputs {
            let (reader, writer) = process::output_pipe()?;
            ends.child.push((stream.number(), writer));
            let (store, id) = &self.keeping;
            let meaning = Meaning::Output(id.clone(), *stream);
            let kept = Kept::put(store, meaning, &[reader.as_fd()]);
            let (stream, end) = (*stream, reader);
            ends.lend.push(Lending { stream, end, kept });
        }
        for stream in &self.logged {
            let (reader, writer) = process::output_pipe()?;
            ends.child.push((stream.number(), writer));
            ends.log.push((*stream, reader));
        }
        if let Some(uid) = owner {
            // Now there are pipes alone among them: /dev/null is nobody's to give away.
            for (_, end) in &ends.child {
                process::give(end.as_fd(), uid)?;
            }
        }
        for stream in [Stream::Stdin, Stream::Stdout, Stream::Stderr] {
            let number = stream.number();
            if !ends.child.iter().any(|(taken, _)| *taken == number) {
                ends.child.push((number, process::null()?));
            }
        }
        Ok(ends)
    }

    /// The write ends that are to be lent with this life.
    pub(super) fn lend(&mut self, life: u64) -> Vec<Lending> {
        let lend = |input: &mut Input| {
            let end = input.to_lend.take()?;
            input.lent = life;
            let (stream, kept) = (input.stream, Kept::No);
            Some(Lending { stream, end, kept })
        };
        self.inputs.iter_mut().filter_map(lend).collect()
    }

    /// The route has dropped the write end that it was lent with `life`.
    pub(super) fn ended(&mut self, stream: Stream, life: u64) {
        for input in &mut self.inputs {
            if input.stream == stream && input.lent == life {
                input.ended = true;
            }
        }
    }

    /// Whether there are inputs and nothing will ever come out of any of them.
    pub(super) fn spent(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().all(|input| input.ended && input.unread() == 0)
    }

    /// The bytes in each kept input.
    pub(super) fn unread(&self) -> Vec<(Stream, u64)> {
        let kept = self.inputs.iter().filter(|input| input.spare.is_some());
        kept.map(|input| (input.stream, input.unread())).collect()
    }

    /// The kept inputs' pipes, as /proc shows them.
    pub(super) fn kept_pipes(&self) -> Vec<u64> {
        let spares = self.inputs.iter().filter_map(|input| input.spare.as_ref());
        spares
            .filter_map(|spare| process::pipe_identity(spare.as_fd()).ok())
            .collect()
    }

    /// Gives the kept inputs up. The next life, if there is one, gets new ones.
    pub(super) fn close(&mut self) {
        for input in &mut self.inputs {
            input.spare = None;
            input.to_lend = None;
            input.kept = Kept::No;
        }
    }

    /// An operator starts it: an input that will never bring anything is replaced by a new one.
    pub(super) fn renew_spent(&mut self) {
        if self.spent() {
            self.close();
        }
    }
}

impl Input {
    /// With the pipe that a dead life of the daemon has left, if there is one: what the dead consumer had not read goes to the
    /// next.
    fn new(stream: Stream, (store, id): &(Store, ProcessId)) -> Input {
        let mut input = Input {
            stream,
            lent: 0,
            ended: false,
            spare: None,
            to_lend: None,
            kept: Kept::No,
        };
        let claimed = store.claim(&Meaning::Input(id.clone(), stream)).pop();
        if let Some((spare, deposit)) = claimed.and_then(|mut left| Some((left.ends.pop()?, left.deposit))) {
            match pipe::reopen(&spare, OFlag::O_WRONLY | OFlag::O_NONBLOCK) {
                Ok(writer) => {
                    (input.spare, input.to_lend) = (Some(spare), Some(writer));
                    input.kept = Kept::Yes(deposit);
                }
                Err(error) => {
                    let unread = pipe::unread(&spare);
                    tracing::warn!(
                        process = %id,
                        "process:{id}: {unread} bytes that its {stream} had not read are lost: the pipe cannot be opened: {error}"
                    );
                }
            }
        }
        input
    }

    /// The child's end for the next life.
    fn open(&mut self, keep: bool, (store, id): &(Store, ProcessId)) -> io::Result<OwnedFd> {
        if let Some(spare) = &self.spare {
            let fresh = process::fresh_reader(spare.as_fd());
            if !keep {
                // It is kept no longer than for this life.
                self.spare = None;
                self.kept = Kept::No;
            }
            return fresh;
        }
        let (reader, writer) = process::input_pipe()?;
        self.ended = false;
        self.to_lend = Some(writer);
        if !keep {
            return Ok(reader);
        }
        let fresh = process::fresh_reader(reader.as_fd());
        self.kept = Kept::put(store, Meaning::Input(id.clone(), self.stream), &[reader.as_fd()]);
        self.spare = Some(reader);
        fresh
    }

    fn unread(&self) -> u64 {
        let spare = self.spare.as_ref();
        spare.map_or(0, pipe::unread)
    }
}
