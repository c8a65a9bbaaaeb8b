#include "ports/lib/json_tree.h"

#include "tests/cmocka.h"

static void test_reads(void **state)
{
    (void)state;
    struct slice input = SLICE(" {\"a\":{\"b\":[1,\"x\\ny\",true]},\"\\u0063\":-7,\"d\":1.5, "
                               "\"n\":\"\\u0000\", \"m\":\"\\\\u0000\"} ");
    struct json_tree *tree = NULL;
    size_t offset = 0;
    struct why why;
    assert_int_equal(json_tree_open(&tree, input, &why, &offset), ERR_OK);
    const struct json_node *root = json_tree_root(tree);
    assert_int_equal(root->count, 5);
    const struct json_node *list = json_node_find(json_node_find(root, "a"), "b");
    assert_non_null(list);
    assert_int_equal(list->count, 3);
    assert_true(slice_equal_text(list->text, "[1,\"x\\ny\",true]"));
    assert_string_equal(json_node_text(list->child->next), "x\ny");
    int64_t number = 0;
    assert_true(json_node_integer(json_node_find(root, "c"), &number));
    assert_int_equal(number, -7);
    assert_false(json_node_integer(json_node_find(root, "d"), &number));
    assert_false(json_node_integer(json_node_find(root, "a"), &number));
    assert_null(json_node_text(json_node_find(root, "n")));
    assert_string_equal(json_node_text(json_node_find(root, "m")), "\\u0000");
    assert_null(json_node_find(root, "e"));
    assert_null(json_node_find(NULL, "e"));
    assert_int_equal(json_node_find(root, "c")->name_offset, 28);
    json_tree_close(tree);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } wrong[] = {
        {"{} x", 3},
        {"", 0},
        {"{\"a\":1,\"a\":2}", 7},
        {"[1,", 3},
        {" {\"\\u0000\":1}", 2},
        {"[0, 0.1234567890123456789012345678901234567890123456789012345678901234567890]", 4}};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct json_tree *tree = NULL;
        size_t offset = 99;
        struct why why = {""};
        assert_int_equal(json_tree_open(&tree, slice_of_text(wrong[i].text), &why, &offset),
                         ERR_CORRUPT);
        assert_int_equal(offset, wrong[i].offset);
        assert_true(why.text[0] != 0);
        assert_null(tree);
    }
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_integer;
        int64_t value;
    } numbers[] = {{"9223372036854775807", true, INT64_MAX},
                   {"-9223372036854775808", true, INT64_MIN},
                   {"9223372036854775808", false, 0},
                   {"1e3", false, 0},
                   {"123456789012345678901234567890", false, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct json_tree *tree = NULL;
        size_t offset;
        int64_t value = 0;
        assert_int_equal(json_tree_open(&tree, slice_of_text(numbers[i].text), NULL, &offset),
                         ERR_OK);
        assert_int_equal(json_node_integer(json_tree_root(tree), &value), numbers[i].is_integer);
        assert_int_equal(value, numbers[i].value);
        json_tree_close(tree);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads), cmocka_unit_test(test_refuses),
                                       cmocka_unit_test(test_integers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
