//! The program while it serves: an actor above the tree, for signals, reloads, and the end.

use std::io;
use std::sync::Arc;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler};
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actors::{Renewed, Root, Socket, Stop, TreeEvent};
use slog::{Logger, error, info};
use tokio::sync::{Notify, oneshot};

use crate::agent::ModSecurityAgent;
use crate::daemon::reload::{self, Reload, Reloaded};
use crate::daemon::successor::Successor;
use crate::settings::Settings;

/// How the service ended.
pub(crate) enum Ending {
    /// It was told to stop, and has.
    Stopped,
    /// This process is to become a new one, which serves on.
    Replaced(Successor),
}

/// A service that runs.
pub(crate) struct Service {
    /// Keeps the actor.
    _actor: Addr<ServiceActor>,
    ending: oneshot::Receiver<Ending>,
}

impl Service {
    /// Starts the tree. With a `successor`, this process can be replaced by a new one: when an engine has `tainted` it,
    /// or to read the rules anew.
    ///
    /// # Errors
    /// When the tree cannot be started, or signals cannot be received.
    pub(crate) fn start(
        settings: Arc<Settings>,
        agent: Arc<ModSecurityAgent>,
        sockets: Vec<Socket>,
        successor: Option<Successor>,
        tainted: Arc<Notify>,
        log: &Logger,
    ) -> io::Result<Self> {
        let root = Root::new(settings.tree, Arc::clone(&agent), sockets, log.clone())?;
        let signals = SIGNALS.map(|(kind, what)| Ok((signal(kind)?, what)));
        let signals = signals.into_iter().collect::<io::Result<Vec<_>>>()?;
        let (end, ending) = oneshot::channel();
        let actor = ServiceActor::create(|ctx| {
            for (signals, what) in signals {
                ServiceActor::watch(signals, what, ctx);
            }
            ctx.spawn(wrap_future::<_, ServiceActor>(async move { tainted.notified().await }).map(
                |(), service, _| {
                    error!(
                        service.log,
                        "tainted: an engine faulted in this process; it finishes what it has and is replaced"
                    );
                    service.replace();
                },
            ));
            let root = root.spawn(ctx.address().recipient());
            ServiceActor {
                root,
                settings,
                agent,
                reloading: Reloading::No,
                successor,
                is_replaced: false,
                end: Some(end),
                log: log.clone(),
            }
        });
        Ok(Self { _actor: actor, ending })
    }

    /// Waits for the end of the tree.
    pub(crate) async fn ended(self) -> Ending {
        // Without its sender the actor is gone, and the tree with it.
        self.ending.await.unwrap_or(Ending::Stopped)
    }
}

/// The actor above Root: turns signals into what the tree is to do, and the end of the tree into the end of the service.
struct ServiceActor {
    root: Addr<Root<ModSecurityAgent>>,
    settings: Arc<Settings>,
    agent: Arc<ModSecurityAgent>,
    reloading: Reloading,
    /// Holds the sockets open for a new process, until this one is told to stop.
    successor: Option<Successor>,
    /// The tree ends for the successor's sake.
    is_replaced: bool,
    end: Option<oneshot::Sender<Ending>>,
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

impl ServiceActor {
    /// Waits for the next of these signals, deals with it, and waits again.
    fn watch(mut signals: Signal, what: OnSignal, ctx: &mut Context<Self>) {
        let next = async move {
            signals.recv().await;
            signals
        };
        ctx.spawn(wrap_future::<_, Self>(next).map(move |signals, service: &mut Self, ctx| {
            match what {
                OnSignal::Stop(name) => {
                    // Closes the sockets, which nobody is to connect to any more.
                    service.successor = None;
                    info!(service.log, "stopping"; "signal" => name);
                    service.root.do_send(Stop);
                }
                OnSignal::Reload(name) => {
                    info!(service.log, "reloading"; "signal" => name);
                    service.reload(ctx);
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
    fn replace(&mut self) {
        self.is_replaced = true;
        self.root.do_send(Stop);
    }
}

impl Actor for ServiceActor {
    type Context = Context<Self>;
}

impl Handler<Reloaded> for ServiceActor {
    type Result = ();

    fn handle(&mut self, Reloaded(read): Reloaded, ctx: &mut Self::Context) {
        match read {
            Ok(Reload::Engines(isolation, summaries)) => {
                let generation = self.agent.replace(isolation);
                let rules: usize = summaries.iter().map(|summary| summary.rules.in_engine).sum();
                info!(self.log, "rules reloaded"; "rules" => rules, "generation" => generation);
                self.root.do_send(Renewed);
            }
            Ok(Reload::Process) => {
                info!(self.log, "rules are right, replacing the process");
                self.replace();
            }
            Err(cause) => error!(self.log, "cannot reload, the old rules stay"; "cause" => %cause),
        }
        if std::mem::replace(&mut self.reloading, Reloading::No) == Reloading::Again {
            self.reload(ctx);
        }
    }
}

impl Handler<TreeEvent> for ServiceActor {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, _: &mut Self::Context) {
        let TreeEvent::Stopped = event else { return };
        let ending = match self.successor.take().filter(|_| self.is_replaced) {
            Some(successor) => Ending::Replaced(successor),
            None => Ending::Stopped,
        };
        if let Some(end) = self.end.take() {
            // Nobody waits when the program ends for another reason.
            let _ = end.send(ending);
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
