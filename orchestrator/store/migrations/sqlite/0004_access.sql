-- +goose Up
ALTER TABLE `installations` ADD COLUMN `access_changes` integer NOT NULL DEFAULT 0;
-- create "audits" table
CREATE TABLE `audits` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `at` datetime NOT NULL, `actor` text NOT NULL, `credential` text NOT NULL, `role` text NOT NULL, `address` text NOT NULL, `door` text NOT NULL, `action` text NOT NULL, `target` text NOT NULL, `detail` text NOT NULL, `result` text NOT NULL, `message` text NOT NULL);
-- create "login_links" table
CREATE TABLE `login_links` (`id` text NOT NULL, `hash` blob NOT NULL, `name` text NOT NULL, `role` text NOT NULL, `kinds` json NULL, `created_at` datetime NOT NULL, `expires_at` datetime NULL, PRIMARY KEY (`id`));
-- create index "login_links_hash_key" to table: "login_links"
CREATE UNIQUE INDEX `login_links_hash_key` ON `login_links` (`hash`);
-- create "sessions" table
CREATE TABLE `sessions` (`id` text NOT NULL, `hash` blob NOT NULL, `name` text NOT NULL, `role` text NOT NULL, `kinds` json NULL, `created_at` datetime NOT NULL, `expires_at` datetime NULL, `last_used_at` datetime NULL, `token_id` text NULL, `address` text NOT NULL, `agent` text NOT NULL, PRIMARY KEY (`id`));
-- create index "sessions_hash_key" to table: "sessions"
CREATE UNIQUE INDEX `sessions_hash_key` ON `sessions` (`hash`);
-- create "tokens" table
CREATE TABLE `tokens` (`id` text NOT NULL, `hash` blob NOT NULL, `name` text NOT NULL, `role` text NOT NULL, `kinds` json NULL, `created_at` datetime NOT NULL, `expires_at` datetime NULL, `last_used_at` datetime NULL, `created_by` text NOT NULL, PRIMARY KEY (`id`));
-- create index "tokens_hash_key" to table: "tokens"
CREATE UNIQUE INDEX `tokens_hash_key` ON `tokens` (`hash`);
-- create index "token_name" to table: "tokens"
CREATE UNIQUE INDEX `token_name` ON `tokens` (`name`);
-- The audit log is append-only for every writer.
-- +goose StatementBegin
CREATE TRIGGER `audits_no_update` BEFORE UPDATE ON `audits` BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER `audits_no_delete` BEFORE DELETE ON `audits` BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
