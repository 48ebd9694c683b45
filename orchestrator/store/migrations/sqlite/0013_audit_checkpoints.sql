-- +goose Up
-- create "audit_checkpoints" table
CREATE TABLE `audit_checkpoints` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `at` datetime NOT NULL, `first_id` integer NOT NULL, `last_id` integer NOT NULL, `count` integer NOT NULL, `file` text NOT NULL, `sha256` text NOT NULL, `signed_in` bool NOT NULL, `previous` text NOT NULL, `hash` text NOT NULL);
-- create index "auditcheckpoint_last_id" to table: "audit_checkpoints"
CREATE INDEX `auditcheckpoint_last_id` ON `audit_checkpoints` (`last_id`);
-- A checkpoint follows from the one before it, and stands for the oldest lines of the log, but never for the newest one.
-- +goose StatementBegin
CREATE TRIGGER `audit_checkpoints_follow` BEFORE INSERT ON `audit_checkpoints` WHEN
  NEW.`count` < 1
  OR NEW.`first_id` IS NOT (SELECT min(`id`) FROM `audits`)
  OR NEW.`last_id` >= (SELECT max(`id`) FROM `audits`)
  OR NEW.`count` IS NOT (SELECT count(*) FROM `audits` WHERE `id` <= NEW.`last_id`)
  OR NEW.`previous` IS NOT coalesce((SELECT `hash` FROM `audit_checkpoints` ORDER BY `id` DESC LIMIT 1), '')
  OR EXISTS (SELECT 1 FROM `audit_checkpoints` WHERE `id` = NEW.`id`)
BEGIN SELECT RAISE(ABORT, 'this checkpoint does not follow from the audit log'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER `audit_checkpoints_rise` AFTER INSERT ON `audit_checkpoints` WHEN NEW.`id` < (SELECT max(`id`) FROM `audit_checkpoints`)
BEGIN SELECT RAISE(ABORT, 'this checkpoint does not follow from the audit log'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER `audit_checkpoints_no_update` BEFORE UPDATE ON `audit_checkpoints` BEGIN SELECT RAISE(ABORT, 'checkpoints of the audit log are append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER `audit_checkpoints_no_delete` BEFORE DELETE ON `audit_checkpoints` BEGIN SELECT RAISE(ABORT, 'checkpoints of the audit log are append-only'); END;
-- +goose StatementEnd
-- Lines can be deleted once a checkpoint stands for them.
DROP TRIGGER `audits_no_delete`;
-- +goose StatementBegin
CREATE TRIGGER `audits_no_delete` BEFORE DELETE ON `audits` WHEN OLD.`id` > coalesce((SELECT max(`last_id`) FROM `audit_checkpoints`), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
-- Nothing is added but at the end. Before the insert SQLite does not know the id that it gives a line.
-- +goose StatementBegin
CREATE TRIGGER `audits_rise` AFTER INSERT ON `audits`
WHEN NEW.`id` < (SELECT max(`id`) FROM `audits`) OR NEW.`id` <= coalesce((SELECT max(`last_id`) FROM `audit_checkpoints`), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
