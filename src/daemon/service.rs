//! The service: an actor above the supervision tree, which handles signals and reloads and reports the end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler};
use actix_rt::signal::unix::{Signal, SignalKind, signal};
use actors::{ReloadEngines, Root, Socket, Stop, TreeEvent};
use slog::{Logger, debug, error, info};
use tokio::sync::{Notify, oneshot};

use crate::admin::{AdminState, Statistics};
use crate::agent::ModSecurityAgent;
use crate::daemon::reload::{self, Reload, Reloaded};
use crate::daemon::rules_report;
use crate::daemon::signals;
use crate::daemon::successor::Successor;
use crate::modsecurity::load::Summary;
use crate::settings::Settings;

/// Long enough for the runtime to look at what has happened meanwhile.
const NEXT_TURN: Duration = Duration::from_millis(1);

/// How the service ended.
pub(crate) enum Ending {
    /// The tree has stopped after SIGTERM or SIGINT.
    Stopped,
    /// An engine has not started before the tree was ready: which, and why. The tree has stopped.
    Failed(String),
    /// The tree has stopped, and this process is to become a new one, which goes on serving.
    Replaced(Successor),
}

/// A running service.
pub(crate) struct Service {
    /// Keeps the actor alive: an actor ends when nobody holds its address.
    _actor: Addr<ServiceActor>,
    ending: oneshot::Receiver<Ending>,
}

impl Service {
    /// Starts the tree; the summaries are of the rules that the agent has loaded. With a `successor`, this process can be replaced by a new one: to load new rules, or when `tainted`
    /// is notified because an engine has faulted in this process.
    ///
    /// # Errors
    /// When the tree cannot be started, or signals cannot be received.
    pub(crate) fn start(
        settings: Arc<Settings>,
        agent: Arc<ModSecurityAgent>,
        summaries: Vec<Summary>,
        sockets: Vec<Socket>,
        successor: Option<Successor>,
        tainted: Arc<Notify>,
        admin: Arc<AdminState>,
        log: &Logger,
    ) -> io::Result<Self> {
        let root = Root::new(settings.tree, Arc::clone(&agent), sockets, log.clone())?;
        admin.runs(root.observer(), Arc::clone(&agent), total(&summaries));
        let signals = SIGNALS.map(|(kind, what)| Ok((signal(kind)?, what)));
        let signals = signals.into_iter().collect::<io::Result<Vec<_>>>()?;
        // Those that came before come now.
        signals::release();
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
                summaries,
                reloading: Reloading::No,
                successor,
                is_replaced: false,
                admin,
                statistics: Statistics::new(),
                reload_began: Instant::now(),
                failure: None,
                end: Some(end),
                log: log.clone(),
            }
        });
        Ok(Self { _actor: actor, ending })
    }

    /// Waits for the end of the tree.
    pub(crate) async fn ended(self) -> Ending {
        // The sender is dropped only with the actor, and then the tree is gone too.
        self.ending.await.unwrap_or(Ending::Stopped)
    }
}

/// The actor above Root. It passes signals on to the tree, and the end of the tree on to [`Service::ended`].
struct ServiceActor {
    root: Addr<Root<ModSecurityAgent>>,
    settings: Arc<Settings>,
    agent: Arc<ModSecurityAgent>,
    /// What is known of the rules in use.
    summaries: Vec<Summary>,
    reloading: Reloading,
    /// Holds the sockets open for a new process; dropped at SIGTERM and SIGINT.
    successor: Option<Successor>,
    /// The tree was stopped in order to replace the process.
    is_replaced: bool,
    /// What is shown of the service.
    admin: Arc<AdminState>,
    /// Without `--admin`: the line of the log.
    statistics: Statistics,
    /// When the reload that is under way began.
    reload_began: Instant,
    /// Why the tree stops by itself.
    failure: Option<String>,
    end: Option<oneshot::Sender<Ending>>,
    log: Logger,
}

/// Whether the rules are being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reloading {
    No,
    Yes,
    /// Another SIGHUP came while the rules were being read, so they are read once more.
    Again,
}

impl ServiceActor {
    /// Waits for the next signal of one kind, handles it, and waits again.
    fn watch(mut signals: Signal, what: OnSignal, ctx: &mut Context<Self>) {
        let next = async move {
            signals.recv().await;
            signals
        };
        ctx.spawn(wrap_future::<_, Self>(next).map(move |signals, service: &mut Self, ctx| {
            match what {
                OnSignal::Stop(name) => {
                    // This closes the sockets, so that nobody can connect any more.
                    service.successor = None;
                    info!(service.log, "stopping"; "signal" => name);
                    service.root.do_send(Stop);
                }
                OnSignal::Reload(name) => {
                    info!(service.log, "reloading"; "signal" => name);
                    service.reload(ctx);
                }
                OnSignal::Ignore(name) => debug!(service.log, "signal without a meaning"; "signal" => name),
            }
            Self::watch(signals, what, ctx);
        }));
    }

    /// Starts a reload or, while one is under way, makes another follow it.
    fn reload(&mut self, ctx: &Context<Self>) {
        if self.reloading == Reloading::No {
            self.reloading = Reloading::Yes;
            self.reload_began = Instant::now();
            reload::start(Arc::clone(&self.settings), self.log.clone(), ctx.address().recipient());
        } else {
            self.reloading = Reloading::Again;
        }
    }

    /// Writes the statistics line, where nobody can ask for metrics.
    fn tell_statistics(&mut self) {
        if self.settings.admin.is_none() {
            self.statistics.log(&self.admin, &self.log);
        }
    }

    /// Tells how the service ended.
    fn finish(&mut self) {
        self.tell_statistics();
        let ending = match (self.failure.take(), self.successor.take().filter(|_| self.is_replaced)) {
            (Some(cause), _) => Ending::Failed(cause),
            (None, Some(successor)) => Ending::Replaced(successor),
            (None, None) => Ending::Stopped,
        };
        if let Some(end) = self.end.take() {
            // The receiver is gone when the program ends for another reason.
            let _ = end.send(ending);
        }
    }

    /// Stops the tree in order to replace the process.
    fn replace(&mut self) {
        self.is_replaced = true;
        self.root.do_send(Stop);
    }
}

impl Actor for ServiceActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(Statistics::INTERVAL, |service, _| service.tell_statistics());
    }
}

impl Handler<Reloaded> for ServiceActor {
    type Result = ();

    fn handle(&mut self, Reloaded(outcome): Reloaded, ctx: &mut Self::Context) {
        let rules = match &outcome {
            Ok(Reload::Engines(_, summaries) | Reload::Process(summaries)) => Ok(total(summaries)),
            Err(cause) => Err(cause.to_string()),
        };
        self.admin.reloaded(self.reload_began.elapsed(), rules);
        match outcome {
            Ok(Reload::Engines(isolation, summaries)) => {
                let generation = self.agent.replace(isolation);
                info!(self.log, "rules reloaded"; "rules" => total(&summaries),
                    "rules_before" => total(&self.summaries), "generation" => generation);
                rules_report::log_reload(&self.log, &self.settings, &self.summaries, &summaries);
                self.summaries = summaries;
                self.root.do_send(ReloadEngines);
            }
            Ok(Reload::Process(summaries)) => {
                info!(self.log, "rules are right, replacing the process"; "rules" => total(&summaries),
                    "rules_before" => total(&self.summaries));
                rules_report::log_reload(&self.log, &self.settings, &self.summaries, &summaries);
                self.replace();
            }
            Err(cause) => {
                error!(self.log, "cannot reload, the old rules stay"; "cause" => ?cause.to_string())
            }
        }
        if std::mem::replace(&mut self.reloading, Reloading::No) == Reloading::Again {
            self.reload(ctx);
        }
    }
}

impl Handler<TreeEvent> for ServiceActor {
    type Result = ();

    fn handle(&mut self, event: TreeEvent, ctx: &mut Self::Context) {
        match event {
            TreeEvent::Ready => return,
            TreeEvent::Failed(cause) => {
                self.failure = Some(cause);
                return;
            }
            TreeEvent::Stopped => {}
        }
        if self.is_replaced && self.successor.is_some() {
            // A signal that was caught before this is heard in the next turn; one that comes later is the successor's.
            signals::hold_all();
            ctx.run_later(NEXT_TURN, |service, _| service.finish());
        } else {
            self.finish();
        }
    }
}

/// The rules of all sets together.
fn total(summaries: &[Summary]) -> usize {
    summaries.iter().map(|summary| summary.rules.in_engine).sum()
}

/// What a signal does, with the name of the signal for the log.
#[derive(Clone, Copy)]
enum OnSignal {
    Stop(&'static str),
    Reload(&'static str),
    Ignore(&'static str),
}

/// The signals that the service handles.
const SIGNALS: [(SignalKind, OnSignal); 5] = [
    (SignalKind::terminate(), OnSignal::Stop("SIGTERM")),
    (SignalKind::interrupt(), OnSignal::Stop("SIGINT")),
    (SignalKind::hangup(), OnSignal::Reload("SIGHUP")),
    (SignalKind::user_defined1(), OnSignal::Ignore("SIGUSR1")),
    (SignalKind::user_defined2(), OnSignal::Ignore("SIGUSR2")),
];
