//! The model as a machine under contract.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aiplat_core::spec::ContainerRuntime;
use aiplat_host::Backend;
use aiplat_tests::{
    build::instance,
    contract::{Clause, Machine, Program},
    lab::simulate,
    scene::START,
    sim::{App, Engine, Foreign, SimHost, backend::SimPort, engine::Image},
};
use tokio_util::sync::CancellationToken;

struct Simulated {
    host: SimHost,
    port: Arc<SimPort>,
}

pub(crate) fn check(clause: Clause) {
    simulate(async move {
        let mut engine = Engine { now: START, ..Engine::default() };
        for (image, app) in [
            ("serve:1", App::default()),
            ("exit:1", App::crashing(Duration::from_millis(1), 3).saying("FATAL: it crashes as asked")),
            ("missing:1", App { missing_executable: true, ..App::default() }),
        ] {
            engine.add_image(image, Image::default());
            engine.apps.insert(image.to_owned(), app);
        }
        let host = SimHost::new(engine, instance(), 1);
        let machine = Simulated { port: host.port(CancellationToken::new()), host };
        clause(&machine).await;
    });
}

impl Machine for Simulated {
    fn backend(&self) -> &dyn Backend {
        &*self.port
    }

    fn prefix(&self) -> &str {
        "contract"
    }

    fn adapt(&self, runtime: &mut ContainerRuntime, program: Program) {
        let image = match program {
            Program::Serve => "serve:1",
            Program::Exit3 => "exit:1",
            Program::Missing => "missing:1",
        };
        image.clone_into(&mut runtime.image);
    }

    fn foreign(&self, foreign: &Foreign) -> String {
        self.host.by_hand(|engine| engine.add_foreign(foreign))
    }

    fn foreign_network(&self, name: &str) -> String {
        self.host
            .by_hand(|engine| engine.create_network(name, BTreeMap::new(), "bridge", false))
            .expect("free")
    }

    fn foreign_volume(&self, name: &str) {
        self.host.by_hand(|engine| drop(engine.create_volume(name, BTreeMap::new(), "local")));
    }

    fn kill(&self, id: &str) {
        self.host.by_hand(|engine| engine.kill(id)).expect("it runs");
    }

    fn start(&self, id: &str) {
        self.host.by_hand(|engine| engine.start(id)).expect("it can run");
    }

    fn remove_network(&self, name: &str) {
        self.host.by_hand(|engine| engine.remove_network(name)).expect("nobody uses it");
    }

    fn remove(&self, id: &str) {
        self.host.by_hand(|engine| engine.remove(id, true)).expect("it exists");
    }

    fn accounts(&self, _id: &str) -> bool {
        true
    }

    fn free_port(&self) -> u16 {
        8_080
    }
}
