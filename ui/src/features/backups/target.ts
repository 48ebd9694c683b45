import { nameProblem, numberProblem } from "../../lib/validate";
import type { TargetInput } from "./documents";

export type Place = "folder" | "service" | "s3";

/** A target as it stands in the form. */
export interface TargetValues {
  place: Place;
  name: string;
  folder: string;
  serviceId: string;
  endpoint: string;
  region: string;
  bucket: string;
  prefix: string;
  accessKey: string;
  secretKey: string;
  ca: string;
  writeMiBPerSecond: string;
}

export const emptyTarget: TargetValues = {
  place: "folder",
  name: "",
  folder: "",
  serviceId: "",
  endpoint: "",
  region: "",
  bucket: "",
  prefix: "",
  accessKey: "",
  secretKey: "",
  ca: "",
  writeMiBPerSecond: "",
};

/** The server's names of the fields; "s3" is what it says about the place as a whole. */
export const targetFields = [
  ...["name", "folder", "writeMiBPerSecond", "s3.serviceId", "s3.endpoint", "s3.region", "s3.bucket", "s3.prefix"],
  ...["s3.accessKey", "s3.secretKey", "s3.ca", "s3"],
];

const needed = (value: string, what: string) => (value.trim() === "" ? `Enter ${what}.` : "");

/** What is wrong with the form, by the server's names of the fields. */
export function targetProblems(v: TargetValues): Record<string, string> {
  const all = {
    name: nameProblem(v.name),
    writeMiBPerSecond: numberProblem(v.writeMiBPerSecond, 1, 100_000, true),
  };
  switch (v.place) {
    case "folder":
      return { ...all, folder: v.folder.startsWith("/") ? "" : "Enter an absolute path, such as /mnt/backups." };
    case "service":
      return {
        ...all,
        "s3.serviceId": v.serviceId ? "" : "Choose a service.",
        "s3.bucket": needed(v.bucket, "the name of the bucket"),
      };
    case "s3":
      return {
        ...all,
        "s3.endpoint": /^https?:\/\/./.test(v.endpoint) ? "" : "Enter a URL that begins with https:// or http://.",
        "s3.bucket": needed(v.bucket, "the name of the bucket"),
        "s3.accessKey": needed(v.accessKey, "the access key"),
        "s3.secretKey": needed(v.secretKey, "the secret key"),
      };
  }
}

/** The input of the mutation, without what belongs to another place than the one that is chosen. */
export function targetInput(v: TargetValues): TargetInput {
  const rate = v.writeMiBPerSecond.trim();
  const all = { name: v.name, ...(rate && { writeMiBPerSecond: Number(rate) }) };
  if (v.place === "folder") return { ...all, folder: v.folder.trim() };
  const names =
    v.place === "service"
      ? (["serviceId", "bucket", "prefix"] as const)
      : (["endpoint", "region", "bucket", "prefix", "accessKey", "secretKey", "ca"] as const);
  const given = Object.fromEntries(names.map((n) => [n, v[n].trim()]).filter(([, value]) => value));
  return { ...all, s3: { bucket: v.bucket.trim(), ...given } };
}
