import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

// Where `make ui-dev` finds the running server.
const server = process.env.UWS_URL ?? "http://127.0.0.1:8080";

/** GraphiQL's style sheet carries web fonts as data: addresses, which the policy forbids; the system's do. */
function withoutInlineFonts(): Plugin {
  return {
    name: "without-inline-fonts",
    enforce: "pre",
    transform(code, id) {
      if (!/\/(@graphiql|graphiql)\/.*\.css/.test(id)) return;
      return { code: code.replace(/@font-face\s*\{[^}]*url\(\s*["']?data:[^}]*\}/g, ""), map: null };
    },
  };
}

/** Writes a .gz beside each text file, which the server sends to those who take it. */
function compressed(): Plugin {
  let dir = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved(config) {
      dir = join(config.root, config.build.outDir);
    },
    closeBundle() {
      for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|svg|html)$/.test(name)) continue;
        const file = join(dir, name);
        writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [withoutInlineFonts(), react(), tailwindcss(), compressed()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0, // no data: addresses
    modulePreload: { polyfill: false },
    manifest: true,
    chunkSizeWarningLimit: 5_000, // the playground's editor; the app's budget is in scripts/budget.mjs
    rolldownOptions: {
      // The playground's libraries say "use no memo" to a compiler that is not used here.
      onwarn: (warning, warn) => warning.code !== "MODULE_LEVEL_DIRECTIVE" && warn(warning),
      input: { app: "index.html", graphiql: "graphiql/index.html" },
    },
  },
  server: {
    port: 5173,
    host: "127.0.0.1",
    proxy: {
      // The server answers only requests that come from its own pages, so these are made to look like them.
      "/graphql": { target: server, ws: true, changeOrigin: true, headers: { Origin: server } },
      "/auth": { target: server, changeOrigin: true, headers: { Origin: server } },
      "/audit.jsonl": { target: server, changeOrigin: true },
      "/healthz": { target: server, changeOrigin: true },
      "/metrics": { target: server, changeOrigin: true },
    },
  },
  test: {
    environment: "happy-dom",
    include: ["test/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
} as Parameters<typeof defineConfig>[0]);
