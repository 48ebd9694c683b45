/** Labels, as name=value; a name alone where the value is empty. */
export function Labels({ labels }: { labels: readonly { name: string; value: string }[] }) {
  return (
    <ul className="flex flex-wrap gap-1.5">
      {labels.map(({ name, value }) => (
        <li key={name} className="rounded bg-sunken px-1.5 font-mono text-[0.8125rem] [overflow-wrap:anywhere]">
          {value ? `${name}=${value}` : name}
        </li>
      ))}
    </ul>
  );
}
