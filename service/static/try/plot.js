/** Plotly, loaded when the first plot is drawn. */

import { drawing } from "./drawing.js";
import { pageColour } from "./colours.js";
import { script } from "./scripts.js";
import { html } from "./vendor/lit-html/lit-html.js";

const CONFIG = { responsive: true, displayModeBar: false, displaylogo: false };

/**
 * A plot of `datum`. `make(datum)` gives {traces, layout}; it is called when the plot is drawn,
 * so that it sees the colours of that moment.
 */
export function plot(datum, make, label, extra = "") {
  const draw = { [make.name]: (element) => show(element, datum, make) }[make.name];
  return html`<div class="plot ${extra}" role="img" aria-label=${label} ${drawing(datum, draw)}></div>`;
}

function show(element, datum, make) {
  let over = false;
  script("plotly.js-gl3d-dist-min/plotly-gl3d.min.js").then(() => {
    if (over) return;
    const { traces, layout } = make(datum);
    Plotly.newPlot(element, traces, { ...style(), ...layout }, CONFIG);
  });
  return () => {
    over = true;
    if (element.data) Plotly.purge(element);
  };
}

function style() {
  const axis = { gridcolor: pageColour("muted-border-color"), zerolinecolor: pageColour("muted-border-color") };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: pageColour("color"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 44, r: 12, t: 8, b: 36 },
    xaxis: axis,
    yaxis: axis,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    hovermode: "x unified",
    hoverlabel: { bgcolor: pageColour("background-color"), font: { color: pageColour("color") } },
  };
}

/** An axis with a title, in the style of the page. */
export function axis(title) {
  const line = pageColour("muted-border-color");
  return { title: { text: title, standoff: 8 }, gridcolor: line, zerolinecolor: line };
}
