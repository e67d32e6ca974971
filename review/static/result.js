// After the reveal: second thoughts, kept beside the blind verdict.
import { add } from "./outbox.js";

const results = document.getElementById("results");
const since = performance.now();

results.addEventListener("click", (event) => {
  const button = event.target.closest("[data-verdict]");
  if (!button) return;
  const row = button.closest("[data-item]");
  for (const other of row.querySelectorAll("[data-verdict]")) other.setAttribute("aria-pressed", String(other === button));
  const shown = { contrast: "same", zoom: 1, looked_s: Math.round(performance.now() - since) / 1000, seen: true };
  add({ batch: results.dataset.batch, item: row.dataset.item, kind: "verdict", verdict: Number(button.dataset.verdict), shown });
});
