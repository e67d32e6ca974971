// After the reveal: second thoughts, kept beside the blind verdict, and what the next survey shall find more of.
import { add, newId } from "./outbox.js";

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

const wanting = document.getElementById("wanting");
const called = document.getElementById("called");
let asked = null;

results.addEventListener("click", (event) => {
  asked = event.target.closest(".more") ?? asked;
  if (!event.target.closest(".more")) return;
  called.value = asked.dataset.name || [...results.querySelectorAll(".more")].map((more) => more.dataset.name).find(Boolean) || "";
  wanting.showModal();
});
wanting.addEventListener("close", async () => {
  const name = wanting.returnValue === "keep" ? called.value.trim() : "";
  if (!wanting.returnValue || (wanting.returnValue === "keep" && !name)) return;
  wanting.returnValue = "";
  const told = asked.nextElementSibling;
  try {
    const answer = await fetch("/api/wanted", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id: newId(), item: asked.closest("[data-item]").dataset.item, name }),
    });
    if (!answer.ok) throw new Error(String(answer.status));
    asked.dataset.name = name;
    told.textContent = name;
  } catch {
    told.textContent = "not saved: the server does not answer, try again";
  }
});
