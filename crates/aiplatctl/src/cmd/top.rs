//! `top`: what running services use.

use std::time::Duration;

use aiplat_api::{client::Client, v1::ServiceUsage};
use tokio::time::sleep;

use super::{operate::name, print_doc, view, watch::Canvas};
use crate::{
    args::{DocFormat, Globals},
    console,
    exit::{Code, Failure, Outcome},
    find::Target,
    render::{
        View,
        table::{Table, column},
        text::bytes,
    },
    source,
};

/// Between two measurements, each of which takes a second or two.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(globals: &Globals, names: &[Target], watch: bool, output: DocFormat) -> Outcome {
    let client = source::client(globals);
    let doc = client.status().await?;
    let names = names.iter().map(|target| name(&doc, target)).collect::<Result<Vec<_>, _>>()?;
    if !watch {
        let rows = measured(&client, &names).await?;
        if print_doc(&rows, output)? {
            return Ok(Code::Done);
        }
        match rows.is_empty() {
            true => console::note("None of them runs."),
            false => console::print(&table(&rows).render(view(false).width))?,
        }
        return Ok(Code::Done);
    }
    let redraws = console::can_redraw();
    let mut canvas = Canvas::default();
    if redraws {
        console::hide_cursor()?;
    }
    loop {
        let rows = measured(&client, &names).await?;
        let View { now: _, width, wide: _ } = view(false);
        if redraws {
            let rows = table(&rows).lines(width);
            let room = console::screen().height.saturating_sub(1);
            canvas.draw(&rows.into_iter().take(room).collect::<Vec<_>>())?;
        } else {
            console::print(&table(&rows).render(width))?;
        }
        sleep(PAUSE).await;
    }
}

/// The hungriest first.
async fn measured(client: &Client, names: &[String]) -> Result<Vec<ServiceUsage>, Failure> {
    let mut rows = client.usage().await?;
    rows.retain(|row| names.is_empty() || names.contains(&row.service));
    rows.sort_by(|a, b| b.cpu_percent.total_cmp(&a.cpu_percent).then_with(|| a.service.cmp(&b.service)));
    Ok(rows)
}

fn table(rows: &[ServiceUsage]) -> Table {
    // Of a platform without GPUs there is nothing to say of them.
    let on_gpus = rows.iter().any(|row| !row.gpus.is_empty());
    let mut columns = vec![
        column("NAME"),
        column("CPU"),
        column("MEMORY"),
        column("LIMIT").drops(3),
        column("MEM%"),
        column("NET IN/OUT").drops(2),
        column("DISK IN/OUT").drops(1),
        column("PIDS").drops(4),
    ];
    if on_gpus {
        columns.extend([column("GPU").drops(3), column("VRAM")]);
    }
    let mut table = Table::new(&columns);
    for row in rows {
        let ServiceUsage {
            service,
            cpu_percent,
            memory,
            memory_limit,
            received,
            sent,
            read,
            written,
            pids,
            gpus,
            gpu_memory,
        } = row;
        let (limit, share) = match memory_limit {
            // What runs uses some: nothing has been measured at all.
            0 if *memory == 0 => (String::new(), String::new()),
            0 => ("none".to_owned(), String::new()),
            limit => (bytes(*limit), format!("{:.1}%", *memory as f64 / *limit as f64 * 100.0)),
        };
        let mut cells = vec![
            service.into(),
            format!("{cpu_percent:.1}%").into(),
            bytes(*memory).into(),
            limit.into(),
            share.into(),
            format!("{} / {}", bytes(*received), bytes(*sent)).into(),
            format!("{} / {}", bytes(*read), bytes(*written)).into(),
            pids.to_string().into(),
        ];
        if on_gpus {
            cells.push(gpus.join(", ").into());
            cells.push(gpu_memory.map(bytes).unwrap_or_default().into());
        }
        table.push(cells);
    }
    table
}
