//! Many patterns searched in one pass over a value: a superset of the patterns that match.
