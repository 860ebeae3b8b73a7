//! rollcall-local-dynamodb
