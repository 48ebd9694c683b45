-- +goose Up
-- INSERT OR REPLACE deletes a row without the triggers of DELETE.
-- +goose StatementBegin
CREATE TRIGGER `audits_no_replace` BEFORE INSERT ON `audits` WHEN EXISTS (SELECT 1 FROM `audits` WHERE `id` = NEW.`id`) BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- +goose StatementEnd
