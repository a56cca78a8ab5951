//! The program while it serves: an actor above the tree, for signals, reloads, and the end.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, System};
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actors::{ReloadEngines, Root, Socket, Stop, TreeEvent};
use slog::{Logger, error, info};

use crate::engine::ModSecurityAgent;
use crate::process::reload::{self, Reload, Reloaded};
use crate::process::successor::Successor;
use crate::settings::Settings;

/// The actor above Root: turns signals into what the tree is to do, and the end of the tree into the end of the program.
pub(super) struct Program {
    root: Addr<Root<ModSecurityAgent>>,
    settings: Arc<Settings>,
    agent: Arc<ModSecurityAgent>,
    reloading: Reloading,
    /// What to do when the tree has ended.
    end: Arc<Mutex<End>>,
    log: Logger,
}

/// Whether the rules are being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloading {
    No,
    Yes,
    /// They may have changed since that began.
    Again,
}

impl Program {
    /// Starts the tree.
    pub(super) fn start(
        settings: Arc<Settings>,
        agent: Arc<ModSecurityAgent>,
        sockets: Vec<Socket>,
        end: Arc<Mutex<End>>,
        log: &Logger,
    ) -> io::Result<Addr<Self>> {
        let root = Root::new(settings.tree, Arc::clone(&agent), sockets, log.clone())?;
        let signals = SIGNALS.map(|(kind, what)| Ok((signal(kind)?, what)));
        let signals = signals.into_iter().collect::<io::Result<Vec<_>>>()?;
        Ok(Self::create(|ctx| {
            for (signals, what) in signals {
                Self::watch(signals, what, ctx);
            }
            let root = root.spawn(ctx.address().recipient());
            Self { root, settings, agent, reloading: Reloading::No, end, log: log.clone() }
        }))
    }

    /// Waits for the next of these signals, deals with it, and waits again.
    fn watch(mut signals: Signal, what: OnSignal, ctx: &mut Context<Self>) {
        let next = async move {
            signals.recv().await;
            signals
        };
        ctx.spawn(wrap_future::<_, Self>(next).map(move |signals, program: &mut Self, ctx| {
            match what {
                OnSignal::Stop(name) => {
                    // Closes the sockets, which nobody is to connect to any more.
                    *lock(&program.end) = End::default();
                    info!(program.log, "stopping"; "signal" => name);
                    program.root.do_send(Stop);
                }
                OnSignal::Reload(name) => {
                    info!(program.log, "reloading"; "signal" => name);
                    program.reload(ctx);
                }
            }
            Self::watch(signals, what, ctx);
        }));
    }

    fn reload(&mut self, ctx: &Context<Self>) {
        if self.reloading == Reloading::No {
            self.reloading = Reloading::Yes;
            reload::start(Arc::clone(&self.settings), self.log.clone(), ctx.address().recipient());
        } else {
            self.reloading = Reloading::Again;
        }
    }

    /// Ends the tree, to become a new process.
    fn replace(&self) {
        let mut end = lock(&self.end);
        match std::mem::take(&mut *end) {
            End::Stop { successor: Some(successor) } => *end = End::Replace(successor),
            unchanged => *end = unchanged,
        }
        drop(end);
        self.root.do_send(Stop);
    }
}

impl Handler<Reloaded> for Program {
    type Result = ();

    fn handle(&mut self, Reloaded(read): Reloaded, ctx: &mut Self::Context) {
        match read {
            Ok(Reload::Engines(isolation, summaries)) => {
                let generation = self.agent.replace(isolation);
                let rules: usize = summaries.iter().map(|summary| summary.rules.in_engine).sum();
                info!(self.log, "rules reloaded"; "rules" => rules, "generation" => generation);
                self.root.do_send(ReloadEngines);
            }
            Ok(Reload::Process) => {
                info!(self.log, "rules are right, replacing the process");
                self.replace();
            }
            Err(cause) => error!(self.log, "cannot reload, the old rules stay"; "cause" => cause),
        }
        if std::mem::replace(&mut self.reloading, Reloading::No) == Reloading::Again {
            self.reload(ctx);
        }
    }
}

/// What a signal does.
#[derive(Clone, Copy)]
enum OnSignal {
    Stop(&'static str),
    Reload(&'static str),
}

const SIGNALS: [(SignalKind, OnSignal); 3] = [
    (SignalKind::terminate(), OnSignal::Stop("SIGTERM")),
    (SignalKind::interrupt(), OnSignal::Stop("SIGINT")),
    (SignalKind::hangup(), OnSignal::Reload("SIGHUP")),
];

impl Actor for Program {
    type Context = Context<Self>;
}

impl Handler<TreeEvent> for Program {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, _: &mut Self::Context) {
        match event {
            TreeEvent::Ready => {}
            TreeEvent::Stopped => System::current().stop(),
        }
    }
}

/// Tells the program that engine code has damaged the process.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Tainted;

impl Handler<Tainted> for Program {
    type Result = ();

    fn handle(&mut self, _: Tainted, _: &mut Self::Context) {
        error!(
            self.log,
            "tainted: an engine faulted in this process; it finishes what it has and is replaced"
        );
        self.replace();
    }
}

/// What is to be done when the tree has ended.
pub(super) enum End {
    /// To end. The successor is kept for the case that the process is tainted, and with it the sockets stay open.
    Stop { successor: Option<Successor> },
    /// To become a new process.
    Replace(Successor),
}

impl Default for End {
    fn default() -> Self {
        Self::Stop { successor: None }
    }
}

pub(super) fn lock(end: &Mutex<End>) -> MutexGuard<'_, End> {
    end.lock().unwrap_or_else(PoisonError::into_inner)
}
