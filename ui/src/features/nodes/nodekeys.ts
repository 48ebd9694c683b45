import type { NodeInput } from "../../graphql/documents";

export type KeyName = "tls.ca" | "tls.certificate" | "tls.key" | "ssh.privateKey" | "ssh.hostKey";
export type KeyTexts = Partial<Record<KeyName, string>>;
type Scheme = "tcp" | "ssh";

/** The keys that an endpoint needs, by its scheme. Each has the name of the server's field. */
export const keysFor: Record<Scheme, readonly { name: KeyName; label: string; hint: string; optional?: true }[]> = {
  tcp: [
    { name: "tls.ca", label: "CA", hint: "Certificate of the CA that signed the engine's, in PEM: ca.pem." },
    { name: "tls.certificate", label: "Certificate", hint: "Client certificate of uws, in PEM: cert.pem." },
    { name: "tls.key", label: "Key", hint: "The certificate's private key, in PEM and without a passphrase: key.pem." },
  ],
  ssh: [
    { name: "ssh.privateKey", label: "Private key", hint: "Used by uws to log in, in PEM and without a passphrase." },
    {
      name: "ssh.hostKey",
      label: "Host key",
      hint: "As printed by ssh-keyscan. Leave it empty to see the host's key and compare it.",
      optional: true,
    },
  ],
};

export function schemeOf(endpoint: string): Scheme | undefined {
  return /^(tcp|ssh):\/\//.exec(endpoint.trim())?.[1] as Scheme | undefined;
}

/** The part of the input that holds the keys. Without any for TLS, the server decides whether it goes without. */
export function keysOf(scheme: Scheme | undefined, texts: KeyTexts): Pick<NodeInput, "tls" | "ssh"> {
  const text = (name: KeyName) => texts[name]?.trim() ?? "";
  if (scheme === "ssh") {
    const hostKey = text("ssh.hostKey");
    return { ssh: { privateKey: text("ssh.privateKey"), ...(hostKey && { hostKey }) } };
  }
  const tls = { ca: text("tls.ca"), certificate: text("tls.certificate"), key: text("tls.key") };
  return scheme === "tcp" && Object.values(tls).some(Boolean) ? { tls } : {};
}
