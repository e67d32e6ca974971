// What every page shows: whether all is saved, and who judges.
import { discard, refused, sendAgain, whenChanged } from "./outbox.js";

const saved = document.getElementById("saved");
const aside = document.getElementById("refused");
const refusing = document.getElementById("refusing");
whenChanged((waiting, problem) => {
  saved.textContent = waiting ? `${waiting} not saved yet${problem ? `: ${problem}` : ""}` : "all saved";
  saved.classList.toggle("waiting", Boolean(problem));
  const count = refused().length;
  aside.hidden = !count;
  aside.textContent = `${count} refused`;
});

function inWords({ why, event }) {
  const said = event ? [event.kind, event.verdict, event.text].filter((part) => part != null).join(" ") : "something";
  return `${said}: ${why}`;
}
aside.addEventListener("click", () => {
  document.getElementById("refused-list").replaceChildren(...refused().map((one) => {
    const row = document.createElement("li");
    row.textContent = inWords(one);
    return row;
  }));
  refusing.showModal();
});
refusing.addEventListener("close", () => {
  if (refusing.returnValue === "again") sendAgain();
  if (refusing.returnValue === "discard") discard();
  refusing.returnValue = "";
});

const renaming = document.getElementById("renaming");
const name = document.getElementById("new-name");
document.getElementById("rename").addEventListener("click", () => {
  name.value = "";
  renaming.showModal();
});
renaming.addEventListener("close", async () => {
  if (renaming.returnValue !== "keep" || !name.value.trim()) return;
  await fetch("/api/reviewer", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ name: name.value.trim() }),
  });
  location.href = "/";
});
