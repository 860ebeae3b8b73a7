//! What the identity provider calls in the place of a user pool: the functions that are declared for
//! its triggers.

use std::collections::BTreeMap;

use futures::future::{BoxFuture, FutureExt};
use rollcall_local_lambda::{Lambda, Outcome};
use rollcall_local_provider::{Trigger as PoolTrigger, TriggerError, Triggers};
use rollcall_runtime::Function;
use rollcall_runtime::declaration::{CognitoTrigger, Trigger};
use serde_json::Value;

/// The functions by trigger.
pub(crate) struct PoolTriggers {
    lambda: Lambda,
    functions: BTreeMap<CognitoTrigger, &'static str>,
}

impl PoolTriggers {
    pub(crate) fn new(functions: &[&'static Function], lambda: &Lambda) -> Self {
        let declared = functions.iter().flat_map(|function| {
            function.triggers.iter().filter_map(|trigger| match trigger {
                Trigger::Cognito(trigger) => Some((*trigger, function.name)),
                Trigger::Http(_)
                | Trigger::Stream(_)
                | Trigger::Queue(_)
                | Trigger::Schedule { .. } => None,
            })
        });
        Self { lambda: lambda.clone(), functions: declared.collect() }
    }

    async fn call(&self, function: &str, event: Value) -> Result<Value, TriggerError> {
        let invocation = self
            .lambda
            .invoke(function, event.to_string().into(), None)
            .await
            .map_err(|error| TriggerError::Failed(error.to_string()))?;
        match invocation.outcome {
            Outcome::Response(answer) => {
                serde_json::from_slice(&answer).map_err(|_malformed| TriggerError::Unrecognizable)
            }
            Outcome::FunctionError { message, .. } => Err(TriggerError::Failed(message)),
        }
    }
}

impl Triggers for PoolTriggers {
    fn invoke(
        &self,
        trigger: PoolTrigger,
        event: Value,
    ) -> Option<BoxFuture<'_, Result<Value, TriggerError>>> {
        let trigger = match trigger {
            PoolTrigger::PostConfirmation => CognitoTrigger::PostConfirmation,
            PoolTrigger::PreTokenGeneration => CognitoTrigger::PreTokenGeneration,
        };
        let function = self.functions.get(&trigger)?;
        Some(self.call(function, event).boxed())
    }
}
