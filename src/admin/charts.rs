//! The charts of the page, as SVG. Their colours are those of the light page; the page's style replaces them in the dark.

use std::error::Error;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::series::DashedLineSeries;

use super::history::Interval;

/// Width and height of a chart on a wide page, and on a narrow one.
const SIZES: [(&str, (u32, u32)); 2] = [("wide", (880, 260)), ("narrow", (360, 240))];

/// The hour that a chart shows, in minutes.
const HOUR: f64 = 60.0;

/// Two samples are joined by a line when they are no further apart, in minutes.
const GAP: f64 = 0.5;

const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
const TEXT: RGBColor = RGBColor(0x59, 0x63, 0x6e);
const GOOD: RGBColor = RGBColor(0x1a, 0x7f, 0x37);
const DENIED: RGBColor = RGBColor(0x9a, 0x67, 0x00);
const BAD: RGBColor = RGBColor(0xcf, 0x22, 0x2e);
const MEDIAN: RGBColor = RGBColor(0x09, 0x69, 0xda);

/// A line of a chart.
struct Line<F> {
    colour: RGBColor,
    /// Length of the dashes, in pixels; 0 for a solid line.
    dash: i32,
    value: F,
}

/// What a chart shows of an interval, if there is something to show.
type Value = fn(&Interval) -> Option<f64>;

/// Messages a second, by what HAProxy was told. `label` says what the chart shows to who does not see it.
///
/// # Errors
/// When the chart cannot be drawn.
pub(super) fn messages(intervals: &[Interval], label: &str) -> Result<String, Box<dyn Error>> {
    let lines: [Line<Value>; 3] = [
        Line { colour: GOOD, dash: 0, value: |interval| Some(interval.allowed) },
        Line { colour: DENIED, dash: 8, value: |interval| Some(interval.denied) },
        Line { colour: BAD, dash: 3, value: |interval| Some(interval.failed) },
    ];
    let top = values(intervals, &lines).fold(1.0, f64::max) * 1.1;
    both(label, |size| draw(size, 0.0..top, &|value| number(*value), intervals, &lines))
}

/// The time to the answer, in milliseconds, on a logarithmic scale.
///
/// # Errors
/// When the chart cannot be drawn.
pub(super) fn times(intervals: &[Interval], label: &str) -> Result<String, Box<dyn Error>> {
    let lines: [Line<Value>; 2] = [
        Line { colour: MEDIAN, dash: 0, value: |interval| interval.median.map(|time| time * 1e3) },
        Line { colour: DENIED, dash: 8, value: |interval| interval.slowest.map(|time| time * 1e3) },
    ];
    let power = |value: f64| 10f64.powf(value);
    let (low, high) = (
        power(values(intervals, &lines).fold(1.0, f64::min).max(0.001).log10().floor()),
        power(values(intervals, &lines).fold(1.0, f64::max).log10().floor() + 1.0),
    );
    both(label, |size| draw(size, (low..high).log_scale(), &|value| number(*value), intervals, &lines))
}

fn values(intervals: &[Interval], lines: &[Line<Value>]) -> impl Iterator<Item = f64> {
    intervals.iter().flat_map(move |interval| lines.iter().filter_map(move |line| (line.value)(interval)))
}

/// A number of at most three digits behind the point, without zeros at its end.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The chart in both sizes, of which the page's style shows one.
fn both(
    label: &str,
    draw: impl Fn((u32, u32)) -> Result<String, Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut both = String::new();
    for (class, size) in SIZES {
        // The label is a text of the page's own, of words and numbers.
        let start = format!("<svg class=\"{class}\" role=\"img\" aria-label=\"{label}\" ");
        both += &draw(size)?.replacen("<svg ", &start, 1);
    }
    Ok(both)
}

fn draw<Y>(
    size: (u32, u32),
    range: Y,
    format: &dyn Fn(&f64) -> String,
    intervals: &[Interval],
    lines: &[Line<Value>],
) -> Result<String, Box<dyn Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    <Y as AsRangedCoord>::CoordDescType: plotters::coord::ranged1d::Ranged,
{
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(48)
            .build_cartesian_2d(-HOUR..0.0, range)?;
        let text = ("sans-serif", 13).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text)
            .x_labels(7)
            .y_labels(5)
            .x_label_formatter(&|minutes| match minutes.round() {
                0.0 => "now".to_owned(),
                minutes => format!("{minutes:.0} min"),
            })
            .y_label_formatter(&format)
            .draw()?;
        for line in lines {
            let style = line.colour.stroke_width(2);
            for run in runs(intervals, line.value) {
                match line.dash {
                    0 => chart.draw_series(LineSeries::new(run, style))?,
                    dash => chart.draw_series(DashedLineSeries::new(run, dash, dash, style))?,
                };
            }
        }
        area.present()?;
    }
    Ok(svg)
}

/// The points of a line, in parts that have no gap. A point of its own becomes a short line, so that it can be seen.
fn runs(intervals: &[Interval], value: Value) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
    for interval in intervals.iter().filter(|interval| interval.minutes_ago <= HOUR) {
        let Some(value) = value(interval) else { continue };
        let point = (-interval.minutes_ago, value);
        match runs.last_mut().filter(|run| run.last().is_some_and(|last| point.0 - last.0 <= GAP)) {
            Some(run) => run.push(point),
            None => runs.push(vec![point]),
        }
    }
    for run in runs.iter_mut().filter(|run| run.len() == 1) {
        run.extend(run.first().map(|(minutes, value)| ((minutes + 0.2).min(0.0), *value)));
    }
    runs
}
