//! Evaluates the guards on a request.
