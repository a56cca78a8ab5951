//! From a request that shows a difference to the smallest one that does.

use super::{Form, Request};

/// Questions that a simplification is worth: a minute or so.
const BUDGET: usize = 4000;

/// Simplifies for as long as `fails` holds, and as the budget lasts.
pub fn smallest(mut request: Request, mut fails: impl FnMut(&Request) -> bool) -> Request {
    let (mut next, mut in_vain) = (0, 0);
    for _ in 0..BUDGET {
        let steps = simpler(&request);
        let count = steps.len();
        if in_vain >= count {
            break;
        }
        // On from where the last step was: what was tried in vain before it seldom helps after it.
        let step = steps.into_iter().nth(next % count).unwrap();
        if fails(&step) {
            (request, in_vain) = (step, 0);
        } else {
            (next, in_vain) = (next + 1, in_vain + 1);
        }
    }
    request
}

/// Everything that is a step simpler, large steps first.
fn simpler(request: &Request) -> Vec<Request> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Request)| {
        let mut changed = request.clone();
        change(&mut changed);
        if changed != *request {
            all.push(changed);
        }
    };
    add(&|request| request.form = Form::Named);
    add(&|request| request.header_lines = false);
    add(&|request| request.query = None);
    add(&|request| request.version = "1.1");
    add(&|request| request.missing = request.missing.min(1));
    add(&|request| request.missing = 0);
    add(&|request| request.method = b"GET".to_vec());
    add(&|request| request.path = Some(b"/".to_vec()));
    for (start, end) in pieces(request.headers.len()) {
        add(&|request| drop(request.headers.drain(start..end)));
    }
    for (start, end) in pieces(request.body.len()) {
        add(&|request| drop(request.body.drain(start..end)));
    }
    for (start, end) in pieces(request.query.as_ref().map_or(0, Vec::len)) {
        add(&|request| drop(request.query.as_mut().unwrap().drain(start..end)));
    }
    for (start, end) in pieces(request.path.as_ref().map_or(0, Vec::len)) {
        add(&|request| drop(request.path.as_mut().unwrap().drain(start..end)));
    }
    for (index, (name, value)) in request.headers.iter().enumerate() {
        for (start, end) in pieces(value.len()) {
            add(&|request| drop(request.headers[index].1.drain(start..end)));
        }
        for (start, end) in pieces(name.len()).into_iter().filter(|(start, end)| end - start < name.len()) {
            add(&|request| drop(request.headers[index].0.drain(start..end)));
        }
    }
    all
}

/// What may be taken out of so many: all, halves, quarters, …, single ones; of the short pieces only so many.
fn pieces(length: usize) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let mut size = length;
    while size > 0 {
        let starts = (0..length).step_by(size).take(64);
        all.extend(starts.map(|start| (start, (start + size).min(length))));
        size /= 2;
    }
    all
}
