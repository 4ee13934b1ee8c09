"use strict";
// The plots, drawn once; those that show the threshold give a function that is told where it is now.
const Plots = (() => {
  const short = (value) => String(Number(value.toPrecision(4)));
  const LEFT = 46, RIGHT = 350, TOP = 14, BOTTOM = 206;
  function draw(parent, name, attributes, text) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return parent.appendChild(element);
  }
  function ticks([low, high], log, most) {
    if (log) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) found.push(power);
      const every = Math.ceil(found.length / most), times = found.length < 4 ? [1, 2, 5] : [1];
      return found.filter((_, place) => place % every === 0).flatMap((power) => times.map((one) => one * 10 ** power)).filter((value) => value >= low && value <= high);
    }
    const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  }
  function axes(svg, { x, y, logX = false, logY = false, xTitle, yTitle, yTick = short }) {
    const scale = ([low, high], log, start, end) => {
      const bend = log ? Math.log10 : (value) => value;
      return (value) => start + ((end - start) * (bend(value) - bend(low))) / (bend(high) - bend(low) || 1);
    };
    const across = scale(x, logX, LEFT, RIGHT), up = scale(y, logY, BOTTOM, TOP);
    for (const value of ticks(x, logX, 4)) {
      draw(svg, "path", { class: "axis", d: `M${across(value)} ${BOTTOM}v4` });
      draw(svg, "text", { x: across(value), y: BOTTOM + 17, "text-anchor": "middle" }, short(value));
    }
    for (const value of ticks(y, logY, 5)) {
      draw(svg, "path", { class: "axis", d: `M${LEFT} ${up(value)}H${RIGHT}` });
      draw(svg, "text", { x: LEFT - 5, y: up(value) + 4, "text-anchor": "end" }, yTick(value));
    }
    draw(svg, "path", { class: "axis", d: `M${LEFT} ${TOP}V${BOTTOM}H${RIGHT}` });
    draw(svg, "text", { x: (LEFT + RIGHT) / 2, y: 242, "text-anchor": "middle" }, xTitle);
    if (yTitle) draw(svg, "text", { transform: `translate(11 ${(TOP + BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, yTitle);
    return { across, up };
  }
  const line = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  function histogram(svg, { scores, bad, labelled, saved }) {
    const anomalous = bad.filter(Boolean).length, good = scores.length - anomalous;
    const BINS = 32, ends = [Math.min(scores[scores.length - 1], saved), Math.max(scores[0], saved)];
    const log = ends[0] > 0 && ends[1] >= 100 * ends[0];
    if (ends[0] === ends[1]) { ends[0] -= Math.abs(ends[0]) * 0.01 || 1; ends[1] += Math.abs(ends[1]) * 0.01 || 1; }
    const bend = log ? Math.log10 : (value) => value;
    const heights = [new Array(BINS).fill(0), new Array(BINS).fill(0)];
    scores.forEach((score, rank) => {
      const bin = Math.floor((BINS * (bend(score) - bend(ends[0]))) / (bend(ends[1]) - bend(ends[0])));
      heights[bad[rank] ? 1 : 0][within(bin, 0, BINS - 1)]++;
    });
    const most = Math.max(...heights[0]) || 0, least = anomalous ? Math.max(...heights[1]) : 0;
    const { across, up } = axes(svg, { x: ends, y: [-1.2 * least || 0, 1.05 * most], logX: log, xTitle: log ? "anomaly score (logarithmic)" : "anomaly score", yTitle: "pictures", yTick: (value) => (Number.isInteger(value) ? short(Math.abs(value)) : "") });
    const pattern = draw(svg, "pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    draw(pattern, "path", { class: "hatching", d: "M0 0V5" });
    const width = (RIGHT - LEFT) / BINS;
    heights.forEach((of, side) => of.forEach((height, bin) => {
      if (height) draw(svg, "rect", { class: side ? "of-bad" : "of-good", x: LEFT + bin * width + 0.5, y: side ? up(0) : up(height), width: width - 1, height: Math.abs(up(height) - up(0)) });
    }));
    if (labelled && good) draw(svg, "text", { class: "strong", x: LEFT, y: TOP - 3 }, "↑ good (plain)");
    if (anomalous) draw(svg, "text", { class: "strong", x: LEFT + 4, y: BOTTOM - 5 }, "↓ anomalous (hatched)");
    const mark = draw(svg, "path", { class: "now" }), word = draw(svg, "text", { class: "strong", y: TOP - 3 }, "threshold");
    return (threshold) => {
      const place = within(log && threshold <= 0 ? LEFT : across(threshold), LEFT, RIGHT);
      mark.setAttribute("d", `M${place} ${TOP}V${BOTTOM}`);
      word.setAttribute("x", within(place - 24, LEFT + (labelled ? 84 : 0), RIGHT - 50));
    };
  }

  function curve(svg, scores, titles, pointOf) {
    const { across, up } = axes(svg, { x: [0, 1], y: [0, 1], xTitle: titles[0], yTitle: titles[1] });
    const points = [], count = scores.length;
    for (let called = 0; called <= count; called++) { // only where the next score is lower
      if (called === 0 || called === count || scores[called - 1] > scores[called]) points.push(pointOf(called));
    }
    draw(svg, "path", { class: "curve", d: line(points.map(([x, y]) => [across(x), up(y)])) });
    const spot = draw(svg, "circle", { class: "spot", r: 5.5 });
    const said = draw(svg, "text", { class: "strong" }, "");
    return (_, called) => {
      const [x, y] = pointOf(called);
      spot.setAttribute("cx", across(x));
      spot.setAttribute("cy", up(y));
      said.textContent = `${x.toFixed(3)}, ${y.toFixed(3)}`;
      said.setAttribute("text-anchor", x > 0.5 ? "end" : "start");
      said.setAttribute("x", across(x) + (x > 0.5 ? -10 : 10));
      said.setAttribute("y", within(up(y) + 16, TOP + 12, BOTTOM - 6));
    };
  }

  function series(svg, { epochs, kept }, of, yTitle) {
    const every = Object.values(of).flat().filter((value) => value !== null);
    let y = [Math.min(...every), Math.max(...every)];
    const log = y[0] > 0 && y[1] >= 100 * y[0];
    if (!log) y = [Math.min(0, y[0]), y[1] || 1];
    const { across, up } = axes(svg, { x: [epochs[0], Math.max(epochs[epochs.length - 1], epochs[0] + 1)], y, logY: log, xTitle: "epoch", yTitle });
    Object.entries(of).forEach(([name, values], number) => {
      const points = values.map((value, place) => [epochs[place], value]).filter(([, value]) => value !== null);
      draw(svg, "path", { class: `curve series-${number % 4}`, d: line(points.map(([x, value]) => [across(x), up(value)])) });
      draw(svg, "path", { class: `curve series-${number % 4}`, d: `M${LEFT} ${258 + 16 * number}h30` });
      draw(svg, "text", { class: "strong", x: LEFT + 38, y: 262 + 16 * number }, name);
    });
    svg.setAttribute("viewBox", `0 0 360 ${256 + 16 * Object.keys(of).length}`); // with room for the names
    if (kept) {
      draw(svg, "path", { class: "now", d: `M${across(kept)} ${TOP}V${BOTTOM}` });
      draw(svg, "text", { class: "strong", x: within(across(kept) - 30, LEFT, RIGHT - 60), y: TOP - 3 }, `kept: ${kept}`);
    }
  }

  return { histogram, curve, series, short, within };
})();
