//! Rates and latencies over time, as SVG: a row for each workload, its rate on the left, p50 and p99 of what it times on the right.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::display::quantity;
use crate::supervisor::{Outcome, Sample};

const WIDTH: u32 = 1000;
const ROW: u32 = 170;
const TITLE: u32 = 30;

const RATE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const MEDIAN: RGBColor = RGBColor(0x2c, 0xa0, 0x2c);
const TAIL: RGBColor = RGBColor(0xd6, 0x27, 0x28);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Quantile = fn(&Sample) -> Option<Duration>;
type Drawn = Result<(), Box<dyn Error>>;

pub(crate) fn write(outcomes: &[Outcome], path: &Path) -> io::Result<()> {
    draw(outcomes, path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}

fn draw(outcomes: &[Outcome], path: &Path) -> Drawn {
    let height = ROW * outcomes.len() as u32 + TITLE;
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled("rustlet-stress", ("sans-serif", 18))?;
    let rows = area.split_evenly((outcomes.len(), 2));
    for (outcome, row) in outcomes.iter().zip(rows.chunks(2)) {
        rates(outcome, &row[0])?;
        times(outcome, &row[1])?;
    }
    area.present()?;
    Ok(())
}

fn end(outcome: &Outcome) -> f64 {
    outcome.samples.last().map_or(1.0, |last| last.at)
}

fn rates(outcome: &Outcome, area: &Area<'_>) -> Drawn {
    let rates = outcome.samples.iter().map(|sample| sample.rate);
    let most = rates.fold(1.0, f64::max) * 1.1;
    let caption = format!("{}: {}/s", outcome.workload.name(), outcome.workload.unit());
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 14))
        .margin(6)
        .x_label_area_size(20)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end(outcome), 0.0..most)?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(4)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&|rate| quantity(*rate))
        .draw()?;
    let points = outcome
        .samples
        .iter()
        .map(|sample| (sample.at, sample.rate));
    chart.draw_series(AreaSeries::new(points, 0.0, RATE.mix(0.2)).border_style(RATE))?;
    Ok(())
}

fn times(outcome: &Outcome, area: &Area<'_>) -> Drawn {
    let Some(what) = outcome.workload.timed() else {
        return Ok(());
    };
    let micros = |time: Option<Duration>| time.map(|time| time.as_nanos().max(1) as f64 / 1e3);
    let all = outcome
        .samples
        .iter()
        .flat_map(|sample| [micros(sample.p50), micros(sample.p99)]);
    let (least, most) = all
        .flatten()
        .fold((f64::MAX, 0.001), |(least, most), micros| {
            (f64::min(least, micros), f64::max(most, micros))
        });
    if least > most {
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{}: {what}, p50 and p99", outcome.workload.name()),
            ("sans-serif", 14),
        )
        .margin(6)
        .x_label_area_size(20)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end(outcome), (least / 1.5..most * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(4)
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|seconds| format!("{seconds:.0} s"))
        .y_label_formatter(&|micros| {
            crate::display::short(Duration::from_nanos((micros * 1e3) as u64))
        })
        .draw()?;
    let lines: [(RGBColor, Quantile); 2] =
        [(MEDIAN, |sample| sample.p50), (TAIL, |sample| sample.p99)];
    for (colour, quantile) in lines {
        let points = outcome
            .samples
            .iter()
            .filter_map(|sample| Some((sample.at, micros(quantile(sample))?)));
        chart.draw_series(LineSeries::new(points, &colour))?;
    }
    Ok(())
}
