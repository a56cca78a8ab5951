//! Timers of an actor whose own future has to see what they did, and times for the log.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, fut};

/// Runs `work` after this time, and then has all futures of the actor polled.
///
/// actix alone does not do so: it polls an actor's futures, timers among them, one after the other. A future that stands
/// before the timer in that order would see what the timer did only at the next event of the actor. Spawning a future makes
/// actix poll all of them again.
pub(crate) fn run_later<A: Actor<Context = Context<A>>>(
    ctx: &mut Context<A>,
    after: Duration,
    work: impl FnOnce(&mut A, &mut Context<A>) + 'static,
) {
    ctx.run_later(after, move |actor, ctx| {
        work(actor, ctx);
        ctx.spawn(fut::ready(()));
    });
}

/// A time for the log, under a key that ends in `_ms`: milliseconds, to a tenth.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
