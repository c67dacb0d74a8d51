-- title: Mass deletion
-- threshold: percent = 5
-- threshold: least = 10
SELECT "table", before, deleted, round(100.0 * deleted / before, 1) AS percent
FROM _tables
WHERE kind = 'objects' AND deleted >= getvariable('least') AND 100.0 * deleted / before >= getvariable('percent')
ORDER BY deleted DESC
