//! rollcall-functions-learning
