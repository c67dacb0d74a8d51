-- In which groups a user is, directly or through other groups: a row for each user and group.
--
-- scope: The scope.
-- user_id: Object id of the user.
-- user_name: The user's name.
-- group_id: Object id of the group.
-- group_name: Its name.
-- depth: 1: directly; else how many groups are on the shortest way, the outermost included.
-- group_ids: Ids of the groups on a shortest way, the outermost first.
-- how: `directly`, or `through` the names of the inner groups on that way.
SELECT scope, member_id AS user_id, member AS user_name, group_id, group_name, depth, group_ids, how
FROM group_members_transitive WHERE kind = 'user'
