//! The stream of hints, as unreliable as it is told to be.

use std::{collections::BTreeSet, time::Duration};

use aiplat_core::{ResourceId, action::label, spec::InstanceId};
use aiplat_host::Hint;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    Rng,
    engine::{Event, Subject},
    faults::Faults,
};

/// Who listens.
#[derive(Debug, Default)]
pub(crate) struct Hints(Vec<UnboundedSender<Hint>>);

impl Hints {
    pub(crate) fn subscribe(&mut self, connected: bool) -> UnboundedReceiver<Hint> {
        let (sender, receiver) = unbounded_channel();
        if connected {
            drop(sender.send(Hint::Connected));
        }
        self.0.push(sender);
        receiver
    }

    /// The stream breaks. A hint about the stream itself is never lost: the adapter makes it.
    pub(crate) fn lose(&mut self) {
        self.0.retain(|sender| sender.send(Hint::Lost { reason: "connection reset".to_owned() }).is_ok());
    }

    pub(crate) fn connect(&mut self) {
        self.0.retain(|sender| sender.send(Hint::Connected).is_ok());
    }

    pub(crate) fn send(&mut self, hint: Hint, faults: &Faults, rng: &mut Rng) {
        self.0.retain(|sender| !sender.is_closed());
        deliver(&self.0, &hint, faults, rng);
    }
}

/// `hint` comes to all of them: never, once or twice, now or late, and so out of order.
pub(crate) fn deliver<T>(to: &[UnboundedSender<T>], hint: &T, faults: &Faults, rng: &mut Rng)
where
    T: Clone + Send + 'static,
{
    let copies = if rng.percent(faults.hint_drop) {
        0
    } else if rng.percent(faults.hint_double) {
        2
    } else {
        1
    };
    for _ in 0..copies {
        let late = rng.percent(faults.hint_delay).then(|| Duration::from_millis(rng.below(2_000)));
        for sender in to {
            let (sender, hint) = (sender.clone(), hint.clone());
            match late {
                None => drop(sender.send(hint)),
                Some(late) => drop(tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    drop(sender.send(hint));
                })),
            }
        }
    }
}

/// What the adapter makes of an event. Of images it knows those that it was `asked_for`.
pub(crate) fn hint_of(event: &Event, instance: &InstanceId, asked_for: &BTreeSet<String>) -> Option<Hint> {
    let labels = match &event.of {
        Subject::Image(reference) => {
            return asked_for.contains(reference).then(|| Hint::Changed(ResourceId::image(reference)));
        }
        Subject::Labelled(labels) => labels,
    };
    let ours = labels.get(label::INSTANCE).is_some_and(|owner| *owner == instance.0);
    let resource: Option<ResourceId> = labels.get(label::RESOURCE).and_then(|text| text.parse().ok());
    Some(resource.filter(|_| ours).map_or(Hint::Relist, Hint::Changed))
}
