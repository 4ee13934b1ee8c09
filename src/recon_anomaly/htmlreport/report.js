"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const labelled = data.kinds !== null;
  const scores = data.scores; // from the highest to the lowest, as everything that is counted by rank
  const count = scores.length;
  const bad = scores.map((_, rank) => labelled && data.kinds[rank] !== data.good);
  const badAbove = [0]; // how many of the first k are anomalous
  bad.forEach((is, rank) => badAbove.push(badAbove[rank] + is));
  const anomalous = badAbove[count], good = count - anomalous;
  const levels = [...new Set(scores)].reverse(); // from low to high
  const { short, within } = Plots;
  const share = (part, whole) => (whole ? (part / whole).toFixed(3) : "–");

  // How many scores exceed a threshold; the first so many ranks are called anomalous.
  function exceeding(threshold) {
    let low = 0, high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (scores[middle] > threshold) low = middle + 1; else high = middle;
    }
    return low;
  }

  // The slider stops once between any two neighbouring scores, so that each stop is another decision.
  function stopOf(threshold) {
    let low = 0, high = levels.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (levels[middle] <= threshold) low = middle + 1; else high = middle;
    }
    return low;
  }
  function thresholdOf(stop) {
    if (stop === 0) return levels[0] - ((levels[levels.length - 1] - levels[0]) * 0.02 || Math.abs(levels[0]) || 1);
    if (stop === levels.length) return levels[stop - 1];
    const middle = levels[stop - 1] + (levels[stop] - levels[stop - 1]) / 2;
    return middle < levels[stop] ? middle : levels[stop - 1];
  }

  // Tiles ---------------------------------------------------------------------------------------

  const tiles = [...$("tiles").children].map((item) => {
    const rank = Number(item.dataset.rank);
    const button = item.firstElementChild;
    const text = (name) => (button.querySelector(`.${name}`) || {}).textContent || "";
    return { item, button, rank, verdict: button.querySelector(".verdict"), name: text("name"), kind: labelled ? text("kind") : "", called: null };
  });
  const tileOf = new Map(tiles.map((tile) => [tile.item, tile]));
  let shown = tiles, current = tiles[0];

  function decide(tile, called) {
    if (tile.called === called) return;
    tile.called = called;
    tile.wrong = labelled && called !== bad[tile.rank];
    const word = !labelled ? (called ? "▲ anomalous" : "● good")
      : called ? (tile.wrong ? "✗ false alarm" : "✓ found") : tile.wrong ? "✗ missed" : "✓ good";
    tile.verdict.textContent = tile.word = word;
    tile.item.className = `tile${called ? " called" : ""}${tile.wrong ? " wrong" : ""}`;
    tile.button.setAttribute("aria-label", `${tile.name}, score ${short(scores[tile.rank])}, ${tile.kind && `kind ${tile.kind}, `}${word.slice(2)}`);
  }
  function matches(tile) {
    const wanted = $("decision").value, kind = $("kind") ? $("kind").value : "all";
    const decided = wanted === "all" || (wanted === "wrong" && tile.wrong) || (wanted === "called" && tile.called) ||
      (wanted === "passed" && !tile.called) || (wanted === "missed" && tile.wrong && !tile.called) ||
      (wanted === "false-alarm" && tile.wrong && tile.called);
    return decided && (kind === "all" || data.kinds[tile.rank] === Number(kind));
  }
  function filter() {
    shown = tiles.filter(matches);
    const kept = new Set(shown);
    for (const tile of tiles) if (tile.item.hidden === kept.has(tile)) tile.item.hidden = !kept.has(tile);
    if (!kept.has(current) && shown.length) reach(shown[0]);
    $("count").textContent = `${shown.length} of ${tiles.length} pictures`;
    $("none").hidden = shown.length > 0;
  }
  function reach(tile) { // one stop for the Tab key, arrows from there
    current.button.tabIndex = -1;
    current = tile;
    tile.button.tabIndex = 0;
  }

  // The threshold -------------------------------------------------------------------------------

  const followers = []; // the plots that show where it is
  function set(threshold, from) {
    const called = exceeding(threshold), found = badAbove[called];
    const alarms = called - found, missed = anomalous - found, both = good && anomalous;
    const figures = {
      called, passed: count - called, true_positives: found, false_positives: alarms, false_negatives: missed, true_negatives: good - alarms,
      precision: both ? share(found, called) : "–", recall: share(found, anomalous), false_alarm_rate: share(alarms, good),
      f1: both ? share(2 * found, 2 * found + alarms + missed) : "–",
    };
    for (const cell of document.querySelectorAll("[data-figure]")) cell.textContent = figures[cell.dataset.figure];
    if (from !== "slider") $("threshold").value = stopOf(threshold);
    if (from !== "exact") $("exact").value = threshold;
    $("threshold").setAttribute("aria-valuetext", `${short(threshold)}, ${called} of ${count} called anomalous`);
    $("back").disabled = threshold === data.threshold;
    $("moved").hidden = !labelled || threshold === data.threshold;
    if (labelled) {
      const of = data.names.map(() => [0, 0]);
      data.kinds.forEach((kind, rank) => of[kind][rank < called ? 0 : 1]++);
      for (const row of document.querySelectorAll("tr[data-kind]")) {
        row.querySelector("[data-called]").textContent = of[row.dataset.kind][0];
        row.querySelector("[data-passed]").textContent = of[row.dataset.kind][1];
      }
    }
    for (const tile of tiles) decide(tile, tile.rank < called);
    for (const follow of followers) follow(threshold, called);
    filter();
  }

  // A closer look -------------------------------------------------------------------------------

  function views(tile) {
    const { picture, reconstruction, error, map } = tile.item.dataset;
    const errors = error || (reconstruction && map);
    return [
      ["picture", picture],
      reconstruction && ["reconstruction", reconstruction],
      errors && ["squared error", errors],
      map && [error || !reconstruction ? "scorer's map over the picture" : "error over the picture", picture, map],
    ].filter(Boolean).map(([title, below, above]) => {
      const figure = document.createElement("figure"), stack = document.createElement("span"), words = document.createElement("figcaption");
      figure.className = "view";
      stack.className = "stack";
      stack.style.aspectRatio = data.ratio; // before the pictures are there
      words.textContent = title;
      for (const [place, source] of [below, above].filter(Boolean).entries()) {
        const image = document.createElement("img");
        image.src = source;
        image.alt = place ? "" : `${title}, ${tile.name}`;
        if (place) image.className = "over";
        else image.addEventListener("load", () => figure.classList.toggle("small", image.naturalWidth < 100));
        stack.append(image);
      }
      figure.append(stack, words);
      return figure;
    });
  }
  function peek(tile) {
    const box = $("peek");
    box.replaceChildren(...views(tile));
    box.hidden = false;
    const about = tile.item.getBoundingClientRect();
    const room = document.documentElement.clientWidth - box.offsetWidth - 8;
    box.style.left = `${within(about.left, 8, Math.max(8, room))}px`;
    const below = about.bottom + 6;
    box.style.top = `${below + box.offsetHeight < innerHeight ? below : Math.max(4, about.top - box.offsetHeight - 6)}px`;
  }
  const hide = () => { $("peek").hidden = true; };
  function open(tile) {
    hide();
    reach(tile);
    $("viewer-name").textContent = tile.name;
    $("viewer-said").textContent = `score ${short(scores[tile.rank])}, rank ${tile.rank + 1} of ${count}, ${tile.kind && `kind ${tile.kind}, `}${tile.word}`;
    $("views").replaceChildren(...views(tile));
    const place = shown.indexOf(tile);
    $("previous").setAttribute("aria-disabled", place <= 0); // disabled for good it would lose the focus, and the keys with it
    $("next").setAttribute("aria-disabled", place === shown.length - 1);
    if (!$("viewer").open) { $("viewer").showModal(); $("viewer").focus(); }
  }
  function step(by) {
    const next = shown[shown.indexOf(current) + by];
    if (next) open(next);
  }

  // What people do ------------------------------------------------------------------------------

  const tileAt = (event) => tileOf.get(event.target.closest(".tile"));
  $("tiles").addEventListener("click", (event) => { const tile = tileAt(event); if (tile) open(tile); });
  $("tiles").addEventListener("pointerover", (event) => {
    const tile = tileAt(event);
    if (tile && event.pointerType === "mouse") peek(tile); else hide();
  });
  $("tiles").addEventListener("pointerleave", hide);
  addEventListener("scroll", hide, { passive: true });
  $("tiles").addEventListener("keydown", (event) => {
    const columns = getComputedStyle($("tiles")).gridTemplateColumns.split(" ").length, place = shown.indexOf(current);
    const to = { ArrowRight: place + 1, ArrowLeft: place - 1, ArrowDown: place + columns, ArrowUp: place - columns, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    hide();
    if (shown[to]) { reach(shown[to]); shown[to].button.focus(); }
  });
  $("viewer").addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { event.preventDefault(); step(1); }
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { event.preventDefault(); step(-1); }
  });
  $("viewer").addEventListener("click", (event) => { if (event.target === $("viewer")) $("viewer").close(); });
  $("viewer").addEventListener("close", () => current.button.focus());
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("viewer").close());
  $("filter").addEventListener("input", filter);
  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("threshold").addEventListener("input", (event) => set(thresholdOf(Number(event.target.value)), "slider"));
  $("exact").addEventListener("input", (event) => { if (event.target.value !== "") set(Number(event.target.value), "exact"); });
  $("back").addEventListener("click", () => { set(data.threshold); $("threshold").focus(); });
  const darkNow = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const named = () => { $("theme").textContent = darkNow() ? "Light" : "Dark"; $("theme").setAttribute("aria-label", `Change to ${darkNow() ? "light" : "dark"} colours`); };
  $("theme").addEventListener("click", () => { document.documentElement.dataset.theme = darkNow() ? "light" : "dark"; named(); });
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details")) part.open = true;
    for (const tile of tiles) tile.button.querySelector("img").loading = "eager";
  });

  followers.push(Plots.histogram($("histogram"), { scores, bad, labelled, saved: data.threshold }));
  if ($("roc")) {
    const recall = (called) => badAbove[called] / anomalous;
    followers.push(Plots.curve($("precision-recall"), scores, ["recall", "precision"], (called) => [recall(called), called ? badAbove[called] / called : 1]));
    followers.push(Plots.curve($("roc"), scores, ["false-alarm rate", "recall"], (called) => [(called - badAbove[called]) / good, recall(called)]));
  }
  if (data.history) {
    Plots.series($("losses"), data.history, data.history.losses, "loss");
    Plots.series($("weights"), data.history, data.history.weights, "weight");
  }
  for (const id of ["threshold", "exact"]) $(id).disabled = false;
  $("threshold").max = levels.length;
  $("filter").hidden = $("theme").hidden = false;
  named();
  set(data.threshold);
})();
