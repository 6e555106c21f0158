//! `reconcile:`.

use super::{Cx, Item};
use crate::{
    load::{
        diagnostic::Problem,
        keys::{RECONCILE, RESTART_POLICY},
        text::duration,
    },
    spec::{ApplyMode, Mode, OnExhausted, RestartSettings, Settings},
};

pub(super) fn settings(cx: &mut Cx<'_>, item: &Item<'_>) -> Settings {
    let mut fields = cx.fields(item, &RECONCILE);
    let default = Settings::default();
    let modes = [("auto", Mode::Auto), ("observe", Mode::Observe)];
    let applies = [("on_save", ApplyMode::OnSave), ("on_command", ApplyMode::OnCommand)];
    let settings = Settings {
        mode: fields.take("mode").and_then(|item| cx.word(&item, &modes)).unwrap_or(default.mode),
        apply: fields.take("apply").and_then(|item| cx.word(&item, &applies)).unwrap_or(default.apply),
        resync: fields.take("resync").and_then(|item| resync(cx, &item)).unwrap_or(default.resync),
        restart: fields
            .take("restart_policy")
            .map(|item| restart_policy(cx, &item))
            .unwrap_or(default.restart),
    };
    fields.done();
    settings
}

fn resync(cx: &mut Cx<'_>, item: &Item<'_>) -> Option<std::time::Duration> {
    let parse = |text: &str| {
        let resync = duration(text)?;
        match resync.as_secs() {
            0 => Err("the least is `1s`: every resync lists everything".to_owned()),
            1..=86_400 => Ok(resync),
            _ => Err("the most is `24h`".to_owned()),
        }
    };
    cx.parsed(item, parse).map(|resync| resync.value)
}

fn restart_policy(cx: &mut Cx<'_>, item: &Item<'_>) -> RestartSettings {
    let mut fields = cx.fields(item, &RESTART_POLICY);
    let default = RestartSettings::default();
    let delay = fields.take("delay").and_then(|item| cx.duration(&item));
    let longest = fields.take("max_delay").and_then(|item| cx.period(&item)).unwrap_or(default.max_delay);
    if let Some(delay) = delay.as_ref().filter(|delay| delay.value > longest) {
        let problem = Problem::error("bad-value", delay.place, "`delay` is longer than `max_delay`");
        cx.sink.add(problem.help("the first wait is `delay`; it doubles up to `max_delay`"));
    }
    let exhausted = [("retry", OnExhausted::Retry), ("hold", OnExhausted::Hold)];
    let crash_loop = fields.take("crash_loop").and_then(|item| cx.integer(&item, 1, 1_000));
    let settings = RestartSettings {
        delay: delay.map_or(default.delay, |delay| delay.value),
        max_delay: longest,
        reset_after: fields
            .take("reset_after")
            .and_then(|item| cx.period(&item))
            .unwrap_or(default.reset_after),
        crash_loop: crash_loop.and_then(|count| u32::try_from(count).ok()).unwrap_or(default.crash_loop),
        window: fields.take("window").and_then(|item| cx.period(&item)).unwrap_or(default.window),
        on_exhausted: fields
            .take("on_exhausted")
            .and_then(|item| cx.word(&item, &exhausted))
            .unwrap_or(default.on_exhausted),
    };
    fields.done();
    settings
}
