// A form, and behind it a room: all that an application needs of `@tercet/sdk/react`.

import type { ConnectOptions } from "@tercet/sdk";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Door } from "./door.js";
import { Hall } from "./hall.js";
import "./style.css";

function App() {
  const [options, setOptions] = useState<ConnectOptions | null>(null);
  return options ? <Hall options={options} leave={() => setOptions(null)} /> : <Door enter={setOptions} />;
}

const root = document.getElementById("root") as HTMLElement;
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
