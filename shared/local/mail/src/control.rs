//! What a test or a developer may see and order beside the API.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Fault, Mail};

pub(crate) async fn messages(State(mail): State<Mail>) -> Json<Value> {
    Json(json!({ "messages": mail.messages() }))
}

pub(crate) async fn forget(State(mail): State<Mail>) -> Json<Value> {
    mail.forget_messages();
    Json(json!({ "ok": true }))
}

pub(crate) async fn set_fault(
    State(mail): State<Mail>,
    Json(fault): Json<Value>,
) -> Result<Json<Value>, (StatusCode, String)> {
    let fault: Fault = serde_json::from_value(fault)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    mail.set_fault(Some(fault));
    Ok(Json(json!({ "ok": true })))
}

pub(crate) async fn clear_faults(State(mail): State<Mail>) -> Json<Value> {
    mail.set_fault(None);
    Json(json!({ "ok": true }))
}
