// What every page shows: whether all is saved, and who judges.
import { whenChanged } from "./outbox.js";

const saved = document.getElementById("saved");
whenChanged((waiting, problem) => {
  saved.textContent = waiting ? `${waiting} not saved yet${problem ? `: ${problem}` : ""}` : "all saved";
  saved.classList.toggle("waiting", Boolean(problem));
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
