import EditorWorker from "monaco-editor/esm/vs/editor/editor.worker.js?worker";
import JsonWorker from "monaco-editor/esm/vs/language/json/json.worker.js?worker";
import GraphQLWorker from "monaco-graphql/esm/graphql.worker.js?worker";

// The editor's languages work in workers of our own origin.
const workers: Record<string, new () => Worker> = { json: JsonWorker, graphql: GraphQLWorker };
Object.assign(globalThis, {
  MonacoEnvironment: {
    getWorker: (_id: string, label: string) => new (workers[label] ?? EditorWorker)(),
  },
});
