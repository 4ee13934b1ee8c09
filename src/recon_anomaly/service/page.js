"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const short = (value) => Number(value.toPrecision(4)).toString();
  const SVG = "http://www.w3.org/2000/svg";
  const AT_ONCE = 4, KEPT = 200; // pictures; older ones leave the page, so that it can stay open
  const DRAWN = 100; // regions of a picture
  const waiting = [];
  let running = 0, done = 0, anomalous = 0, failed = 0;

  function element(name, className, text) {
    const made = document.createElement(name);
    made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function picture(className, address) {
    const image = element("img", className);
    image.alt = "";
    image.src = address;
    return image;
  }

  function boxes(result) {
    const drawing = document.createElementNS(SVG, "svg");
    drawing.setAttribute("class", "boxes");
    drawing.setAttribute("viewBox", `0 0 ${result.width} ${result.height}`);
    drawing.setAttribute("preserveAspectRatio", "none");
    for (const region of result.regions.slice(0, DRAWN)) {
      const box = document.createElementNS(SVG, "rect");
      for (const name of ["x", "y", "width", "height"]) box.setAttribute(name, region[name]);
      drawing.append(box);
    }
    return drawing;
  }

  function release(shown) {
    shown.querySelectorAll("img").forEach((image) => URL.revokeObjectURL(image.src));
  }

  async function reason(answer) { // whatever stands in front of the service may answer with a page
    const told = await answer.json().catch(() => ({}));
    return told.detail || `the service answered ${answer.status}`;
  }

  async function ask(file) {
    for (;;) {
      const answer = await fetch("score?map=true", { method: "POST", body: file });
      if (answer.status !== 429) return answer;
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      await new Promise((go) => setTimeout(go, 1000 * seconds));
    }
  }

  async function show(file) {
    const item = element("li", "");
    const stack = element("div", "stack");
    const shown = picture("picture", URL.createObjectURL(file));
    shown.addEventListener("error", () => { shown.remove(); stack.classList.add("alone"); });
    stack.append(shown);
    const verdict = element("div", "verdict", "…");
    item.append(stack, verdict, element("div", "soft", file.name));
    $("found").prepend(item);
    while ($("found").children.length > KEPT) {
      const last = $("found").lastElementChild;
      release(last);
      last.remove();
    }
    try {
      const answer = await ask(file);
      if (!answer.ok) throw new Error(await reason(answer));
      const result = await answer.json();
      stack.append(picture("map", result.map), boxes(result));
      item.className = result.label;
      verdict.textContent = `${result.anomalous ? "▲ anomalous" : "● good"}  ${short(result.score)}`;
      const regions = result.anomalous ? `, ${result.regions.length} region${result.regions.length === 1 ? "" : "s"}` : "";
      item.append(element("div", "soft", `p ${short(result.p_value)}, ${result.width} × ${result.height} px${regions}`));
      result.notes.forEach((note) => item.append(element("div", "soft", `had ${note}`)));
      done += 1;
      anomalous += result.anomalous;
    } catch (error) {
      verdict.className = "verdict failed";
      verdict.textContent = `✗ ${error.message}`;
      release(stack); // what a browser makes of half a picture would look like a result
      stack.remove();
      failed += 1;
    }
  }

  async function work() {
    running += 1;
    while (waiting.length) {
      await show(waiting.shift());
      $("said").textContent = `${done} scored, ${anomalous} anomalous, ${failed} failed, ${waiting.length} waiting`;
    }
    running -= 1;
  }

  function take(files) {
    waiting.push(...files);
    while (running < AT_ONCE && waiting.length) work();
  }

  $("files").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
  $("over").addEventListener("input", (event) => document.documentElement.style.setProperty("--over", event.target.value));
  document.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    take(event.dataTransfer.files);
  });
  fetch("health").then((answer) => answer.json()).then((health) => {
    const [height, width] = health.image_shape;
    const [model, scorer] = [health.model, health.scorer].map((name) => name.replace("builtin:", ""));
    $("served").textContent = `Model ${model}, scorer ${scorer}, ${width} × ${height} px; above ${short(health.threshold)} a picture is called anomalous.`;
  }).catch(() => { $("served").textContent = "The service does not answer."; });
})();
